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
	// Socket is the connection on which the request was sent, with all standard descriptors; nil if none was.
	Socket *os.File
	// Received is what has come on it, with the descriptors.
	Received []byte
	Files    []int
}

// Left gives what was begun, once. Nil if nothing was.
func Left() *Call {
	if conn < 0 && !asked {
		return nil
	}
	c := &Call{Ticket: ticket, Received: in[:received]}
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
