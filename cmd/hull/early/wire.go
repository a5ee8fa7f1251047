package early

import (
	"unsafe"

	"hull/fs/wire"
)

// parts are where the parts of a ticket are.
type parts struct {
	token             int // wire.TokenSize long
	socket, socketEnd int
}

// parseTicket reads what wire.Ticket.Put wrote, if it is for the command of a container.
//
//go:nosplit
func parseTicket(b *[wire.TicketSize]byte) (parts, bool) {
	const magic, verb = "hull", "exec"
	p := parts{token: len(magic) + 1}
	for i := range len(magic) {
		if b[i] != magic[i] {
			return p, false
		}
	}
	if b[len(magic)] != wire.Version {
		return p, false
	}
	at := p.token
	for range wire.TokenSize {
		if b[at] == 0 {
			return p, false
		}
		at++
	}
	if b[at] != 0 {
		return p, false
	}
	at++
	for i := range len(verb) {
		if b[at] != verb[i] {
			return p, false
		}
		at++
	}
	if b[at] != 0 {
		return p, false
	}
	at++
	p.socket = at
	for ; at < len(b); at++ {
		if b[at] == 0 {
			p.socketEnd = at
			return p, at > p.socket
		}
	}
	return p, false
}

// putRequest writes the frame of a wire.Request with a token, arguments and all standard descriptors. It gives the
// frame's size, or 0 if it does not fit.
//
//go:nosplit
func putRequest(out *[4096]byte, ticket *[wire.TicketSize]byte, t parts, args []*byte) int {
	const frame = 6
	at := frame
	out[at] = wire.TokenSize
	at++
	for i := range wire.TokenSize {
		if t.token+i >= len(ticket) {
			return 0
		}
		out[at] = ticket[t.token+i]
		at++
	}
	at = putCount(out, at, len(args))
	for _, a := range args {
		n := 0
		for *(*byte)(unsafe.Add(unsafe.Pointer(a), n)) != 0 {
			n++
		}
		at = putCount(out, at, n)
		if at+n > len(out)-16 {
			return 0
		}
		for i := range n {
			out[at] = *(*byte)(unsafe.Add(unsafe.Pointer(a), i))
			at++
		}
	}
	if at > len(out)-16 {
		return 0
	}
	out[at], out[at+1], out[at+2] = 0, 0, 2*(1|1<<1|1<<2) // no environment, no options, all three descriptors
	at += 3
	body := at - frame
	out[0], out[1], out[2], out[3] = byte(body), byte(body>>8), 0, 0
	out[4], out[5] = wire.KindRequest, 3
	return at
}

// putCount writes a length as package wire does. Where it ends is out of reach if there was no room.
//
//go:nosplit
func putCount(out *[4096]byte, at, n int) int {
	for n >= 0x80 {
		if at >= len(out)-16 {
			return len(out)
		}
		out[at] = byte(n) | 0x80
		n >>= 7
		at++
	}
	if at >= len(out)-16 {
		return len(out)
	}
	out[at] = byte(n)
	return at + 1
}

// parseAnswer looks at what was received. more is that it is not all there. role is which of the descriptors is the
// status socket, if it is a wire.Answer that says no more than that the command runs; else it is -1.
//
//go:nosplit
func parseAnswer(b *[1024]byte, n int) (role int, more bool) {
	const frame = 6
	if n < frame {
		return -1, true
	}
	body := int(b[0]) | int(b[1])<<8 | int(b[2])<<16 | int(b[3])<<24
	if b[4] != wire.KindAnswer || body > len(b)-frame {
		return -1, false
	}
	end := frame + body
	if n < end {
		return -1, true
	}
	// No text, no sentence, code 0; roles; from 0, segment 0, no keys, and flags of which only Signals.
	const before, after = 3, 4
	at := frame + before
	if body < before+1+after || n != end || b[frame] != 0 || b[frame+1] != 0 || b[frame+2] != 0 {
		return -1, false
	}
	roles := int(b[at])
	at++
	if roles != int(b[5]) || roles > maxFiles || at+roles+after != end {
		return -1, false
	}
	role = -1
	for i := range roles {
		switch wire.Role(b[at+i]) {
		case wire.RoleStatus:
			role = i
		case wire.RolePidfd:
		default:
			return -1, false
		}
	}
	at += roles
	if b[at] != 0 || b[at+1] != 0 || b[at+2] != 0 || b[at+3] > 2 {
		return -1, false
	}
	return role, false
}

// parseExit gives the exit status that a monitor.Status tells, or -1 if it is not told there.
//
//go:nosplit
func parseExit(b *[16]byte) int {
	if b[0] != 'e' || b[1] != 'x' || b[2] != 'i' || b[3] != 't' {
		return -1
	}
	return int(b[4])
}
