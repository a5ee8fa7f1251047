// Package wire is what an executed verb file's helper (package cmd/hull/verb) and the daemon (package fs/session) say
// to each other.
//
// It begins with an ioctl on the opened verb file, which the kernel's permission check has let the helper open: the
// daemon fills in a [Ticket], which names the verb, the daemon's socket and a token that is good for one connection.
// The helper connects, sends a [Request] with its arguments and those of its descriptors that the other side is to use,
// and reads [Print] and [Meter] frames until the [Answer] comes. After that the helper works with the descriptors of
// the answer alone, so that the daemon's death disturbs nothing; the connection only carries signals ([Signal]) and the
// end of the helper's input ([Ended]) while there is a daemon to hear them.
//
// All sizes are bounded and everything is checked on both sides: the daemon is root and reads what any user sends, and
// the helper may be root's and read what a false file system sends.
package wire

import (
	"bytes"
	"errors"
)

// Version is the version of all that is said here. A daemon and a helper of different versions do not talk: that
// happens when the binary was replaced under a running daemon.
const Version = 3

// TicketSize is the size of a ticket in bytes, and part of the ioctl's number.
const TicketSize = 256

// IoctlTicket is the request for a ticket, _IOR('h', 1, [TicketSize]byte): the kernel passes ioctls of this form on to
// a FUSE server with a buffer of that size, and no other form for a mount that is not CUSE.
const IoctlTicket uint32 = 2<<30 | TicketSize<<16 | 'h'<<8 | 1

// TokenSize is the length of a token.
const TokenSize = 32

const ticketMagic = "hull"

// Ticket is the daemon's answer to the ioctl.
type Ticket struct {
	// Version is the daemon's.
	Version byte
	// Token admits one connection.
	Token string
	// Verb is the kind of verb: it says how the helper reads its arguments.
	Verb string
	// Socket is the path of the daemon's socket.
	Socket string
}

// Put writes the ticket into the ioctl's buffer: "hull", the version, and three strings that end in a zero byte.
func (t Ticket) Put(out []byte) error {
	b := append([]byte(ticketMagic), t.Version)
	for _, s := range []string{t.Token, t.Verb, t.Socket} {
		if len(s) == 0 || bytes.IndexByte([]byte(s), 0) >= 0 {
			return errors.New("a ticket's parts must not be empty nor hold zero bytes")
		}
		b = append(append(b, s...), 0)
	}
	if len(b) > len(out) || len(out) != TicketSize || len(t.Token) != TokenSize {
		return errors.New("a ticket does not fit")
	}
	clear(out)
	copy(out, b)
	return nil
}

// ParseTicket reads what Put wrote. A ticket of another version has nothing but its version.
func ParseTicket(b []byte) (Ticket, error) {
	bad := errors.New("this is no ticket of hull's")
	if len(b) != TicketSize || !bytes.HasPrefix(b, []byte(ticketMagic)) {
		return Ticket{}, bad
	}
	b = b[len(ticketMagic):]
	t := Ticket{Version: b[0]}
	if t.Version != Version {
		return t, nil
	}
	b = b[1:]
	for _, field := range []*string{&t.Token, &t.Verb, &t.Socket} {
		s, rest, ok := bytes.Cut(b, []byte{0})
		if !ok || len(s) == 0 {
			return Ticket{}, bad
		}
		*field, b = string(s), rest
	}
	if len(t.Token) != TokenSize {
		return Ticket{}, bad
	}
	return t, nil
}
