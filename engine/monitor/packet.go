package monitor

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// packet is a message socket used from goroutines, by way of Go's poller: closing it wakes whoever reads.
// The monitor's own loop does without it.
type packet struct {
	file *os.File
	room []byte // of receive
}

func newPacket(fd int) (*packet, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return &packet{file: os.NewFile(uintptr(fd), "socket")}, nil
}

func (p *packet) send(m *message) error {
	body, rights, err := m.pack()
	if err != nil {
		return err
	}
	c, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = c.Write(func(fd uintptr) bool {
		_, failed = unix.SendmsgN(int(fd), body, rights, nil, unix.MSG_NOSIGNAL)
		return !errors.Is(failed, unix.EAGAIN)
	})
	return errors.Join(err, failed)
}

// receive is for one goroutine at a time.
func (p *packet) receive() (m *message, err error) {
	c, err := p.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	err = c.Read(func(fd uintptr) bool {
		m, failed = receive(int(fd), &p.room)
		// The other end closed without having read all: that is told, once, before what it said.
		if errors.Is(failed, unix.ECONNRESET) {
			m, failed = receive(int(fd), &p.room)
		}
		return !errors.Is(failed, unix.EAGAIN)
	})
	if err != nil {
		return nil, err
	}
	return m, failed
}

// received is receive for what is there now, whatever deadline has passed; unix.EAGAIN if nothing is.
func (p *packet) received() (m *message, err error) {
	c, err := p.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	err = c.Control(func(fd uintptr) { m, failed = receive(int(fd), &p.room) })
	if err != nil {
		return nil, err
	}
	return m, failed
}

func (p *packet) close() error { return p.file.Close() }

func lost(op string, err error) error {
	return &Error{Op: op, Kind: Lost, Sentence: "the connection to hull's monitor is lost", Err: err}
}
