package early

import (
	"os"

	"golang.org/x/sys/unix"

	"hull/fs/wire"
)

// Call is what was begun before there was Go.
type Call struct {
	File   *os.File // the verb file; nil if it is closed
	Ticket [wire.TicketSize]byte
	Verb   string // of the request
	// Socket is the connection on which the request was sent, with all standard descriptors if it is an exec's; nil if
	// none was.
	Socket *os.File
	// Received is what has come on it, with the descriptors.
	Received []byte
	Files    []int
	// Ending is the signal that is to end the call, of which the daemon has been told; 0 if none is.
	Ending int
}

// Left gives what was begun, once. Nil if nothing was.
func Left() *Call {
	if conn < 0 && !asked {
		return nil
	}
	c := &Call{Ticket: ticket, Received: in[:received], Ending: ending}
	if t, ok := parseTicket(&ticket); ok {
		c.Verb = string(ticket[t.verb:t.verbEnd])
	}
	if file >= 0 {
		_ = unix.SetNonblock(file, false) // nothing waits for it
		c.File = os.NewFile(uintptr(file), "verb")
	}
	if conn >= 0 {
		_ = unix.SetNonblock(conn, true) // for Go's poller
		c.Socket = os.NewFile(uintptr(conn), "daemon")
	}
	for _, fd := range files[:brought] {
		c.Files = append(c.Files, int(fd))
	}
	file, conn, asked, received, brought = -1, -1, false, 0, 0
	return c
}
