package early

import (
	"unsafe"

	"hull/fs/wire"
)

// parts are where the parts of a ticket are.
type parts struct {
	token             int // wire.TokenSize long
	verb, verbEnd     int
	socket, socketEnd int
}

// parseTicket reads what wire.Ticket.Put wrote.
//
//go:nosplit
func parseTicket(b *[wire.TicketSize]byte) (parts, bool) {
	const magic = "hull"
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
	p.verb = at + 1
	p.verbEnd = zero(b, p.verb)
	p.socket = p.verbEnd + 1
	p.socketEnd = zero(b, p.socket)
	return p, p.verbEnd > p.verb && p.socketEnd > p.socket && p.socketEnd < len(b)
}

// zero finds the next zero byte; the end if there is none.
//
//go:nosplit
func zero(b *[wire.TicketSize]byte, at int) int {
	for ; at < len(b); at++ {
		if b[at] == 0 {
			return at
		}
	}
	return len(b)
}

// is compares a part of the ticket with a string.
//
//go:nosplit
func is(b *[wire.TicketSize]byte, from, to int, s string) bool {
	if to-from != len(s) {
		return false
	}
	for i := range len(s) {
		if b[from+i] != s[i] {
			return false
		}
	}
	return true
}

// putRequest writes the frame of a wire.Request with a token and arguments, and with all standard descriptors or none. It
// gives the frame's size, or 0 if it does not fit.
//
//go:nosplit
func putRequest(out *[4096]byte, ticket *[wire.TicketSize]byte, t parts, args []*byte, lends bool) int {
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
	out[at], out[at+1], out[at+2] = 0, 0, 0 // no environment, no options, no descriptors
	out[4], out[5] = wire.KindRequest, 0
	if lends {
		out[at+2] = 2 * (1 | 1<<1 | 1<<2)
		out[5] = 3
	}
	at += 3
	body := at - frame
	out[0], out[1], out[2], out[3] = byte(body), byte(body>>8), 0, 0
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

// heard is what has been received.
type heard int

const (
	part  heard = iota // of a frame
	other              // what package verb understands
	runs               // that the command runs, with its status socket and its process among the descriptors
	over               // that the call is over, with an exit status and no word
)

// parseAnswer looks at what was received. n is which of the descriptors is the status socket, or the exit status, and
// process which one is that.
//
//go:nosplit
func parseAnswer(b *[1024]byte, size int) (h heard, n, process int) {
	const frame = 6
	if size < frame {
		return part, 0, 0
	}
	body := int(b[0]) | int(b[1])<<8 | int(b[2])<<16 | int(b[3])<<24
	if b[4] != wire.KindAnswer || body > len(b)-frame {
		return other, 0, 0
	}
	end := frame + body
	if size < end {
		return part, 0, 0
	}
	// No text, no sentence; the code in one byte or two; roles; from 0, segment 0, no keys, and flags.
	const least, after, handsOn = 8, 4, 2
	if body < least || size != end || b[frame] != 0 || b[frame+1] != 0 || b[frame+2]&1 != 0 {
		return other, 0, 0
	}
	at := frame + 2
	code := int(b[at]&0x7f) >> 1
	if b[at]&0x80 != 0 {
		at++
		code |= int(b[at]) << 6
	}
	at++
	roles := int(b[at])
	at++
	if code > 255 || code == failed || roles != int(b[5]) || at+roles+after != end {
		return other, 0, 0
	}
	status := -1
	process = -1
	for i := range roles {
		switch wire.Role(b[at+i]) {
		case wire.RoleStatus:
			status = i
		case wire.RolePidfd:
			process = i
		default:
			return other, 0, 0
		}
	}
	at += roles
	switch {
	case b[at] != 0 || b[at+1] != 0 || b[at+2] != 0:
	case roles == 0 && b[at+3] == 0:
		return over, code, 0
	case status >= 0 && process >= 0 && code == 0 && b[at+3] == handsOn:
		return runs, status, process
	}
	return other, 0, 0
}

// failed is the exit status of a failure of hull's own, of which package verb makes another for some verbs.
const failed = 125

// parseExit gives the exit status that a monitor.Status tells, or -1 if it is not told there.
//
//go:nosplit
func parseExit(b *[16]byte) int {
	if b[0] != 'e' || b[1] != 'x' || b[2] != 'i' || b[3] != 't' {
		return -1
	}
	return int(b[4])
}
