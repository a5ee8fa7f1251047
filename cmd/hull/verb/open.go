package verb

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"hull/cmd/hull/early"
	"hull/fs/wire"
)

// problem is why there is no session.
type problem struct {
	status   int
	sentence string
	again    bool // no daemon answers, perhaps only for a moment
}

// open opens a verb file and asks it for a ticket, unless that was done before there was Go.
func open(path string, begun *early.Call) (*os.File, wire.Ticket, *problem) {
	if begun != nil && begun.File != nil {
		return admitted(path, begun.File, begun.Ticket[:])
	}
	// Opened without O_NONBLOCK it would be a session on the descriptor at once.
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	for errors.Is(err, unix.EINTR) {
		fd, err = unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	}
	if err == nil { // nothing waits for this file, so it need not be in Go's poller
		err = unix.SetNonblock(fd, false)
	}
	if err != nil {
		return nil, wire.Ticket{}, unopened(path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	var b [wire.TicketSize]byte
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(wire.IoctlTicket), uintptr(unsafe.Pointer(&b[0])))
	if errno != 0 {
		_ = f.Close()
		if absent(errno) {
			return nil, wire.Ticket{}, &problem{status: statusFailed, again: true}
		}
		return nil, wire.Ticket{}, &problem{
			status:   statusFailed,
			sentence: path + " is not on a mount of hull's on this machine, so it can be read here but not executed",
		}
	}
	return admitted(path, f, b[:])
}

// admitted reads the ticket that a verb file has given.
func admitted(path string, f *os.File, b []byte) (*os.File, wire.Ticket, *problem) {
	t, err := wire.ParseTicket(b)
	switch {
	case err != nil:
		_ = f.Close()
		return nil, t, &problem{status: statusFailed, sentence: path + " is no verb file of hull's"}
	case t.Version != wire.Version:
		_ = f.Close()
		return nil, t, &problem{
			status:   statusFailed,
			sentence: "this hull is not the version of the one that serves " + path + ": unmount and mount it again",
		}
	}
	return f, t, nil
}

// unopened says why a file could not be opened.
func unopened(path string, err error) *problem {
	var errno unix.Errno
	_ = errors.As(err, &errno)
	switch {
	case absent(errno):
		return &problem{status: statusFailed, again: true}
	case errno == unix.ENOENT || errno == unix.ENOTDIR:
		return &problem{status: statusNotFound, sentence: path + " does not exist"}
	case errno == unix.EACCES || errno == unix.EPERM:
		return &problem{
			status:   statusNotExecutable,
			sentence: "you may not execute " + path + ": that needs permission to read, write and execute it",
		}
	case errno == unix.ESTALE:
		return &problem{status: statusNotFound, sentence: path + " was removed"}
	}
	return &problem{status: statusFailed, sentence: "cannot open " + path + ": " + err.Error()}
}

// absent tells whether an errno is that of a mount whose daemon has died.
func absent(e unix.Errno) bool {
	return e == unix.ENOTCONN || e == unix.ECONNABORTED || e == unix.ESHUTDOWN
}

// connect connects to the daemon.
func connect(path string) (*wire.Conn, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	// Only now: a connection to a socket of the Unix domain waits for its turn, or fails with EAGAIN.
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return wire.NewConn(os.NewFile(uintptr(fd), "daemon"))
}
