package verb

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"hull/fs/wire"
)

// copy copies once. more is false at the end of the file; of a terminal's master that is EIO, when nobody has the
// terminal open any more.
func (c source) copy() (more bool, err error) {
	var buf [32 << 10]byte
	n, err := unix.Read(c.fd, buf[:])
	switch {
	case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
		return true, nil
	case err != nil || n == 0:
		return false, nil
	}
	return true, writeAll(c.to, buf[:n])
}

// ready tells whether something can be read at once.
func ready(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		if !errors.Is(err, unix.EINTR) {
			return err == nil && n > 0
		}
	}
}

// await waits until a descriptor that does not block can be read or written.
func await(fd int, events int16) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
	_, _ = unix.Poll(fds, -1)
}

// writeAll writes all of b.
func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		switch {
		case errors.Is(err, unix.EAGAIN): // the caller's descriptor may be shared with whoever made it so
			await(fd, unix.POLLOUT)
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		default:
			b = b[n:]
		}
	}
	return nil
}

// number gives a file's descriptor without making it block.
func number(f *os.File) int {
	n := -1
	if raw, err := f.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { n = int(fd) })
	}
	return n
}

// input begins to copy the caller's input to where the command reads. It goes on until the helper ends: a read of a
// terminal cannot be called off, and need not be.
func (s *running) input() {
	switch {
	case s.term != nil:
		s.keys()
	case s.byRole[wire.RoleStdin] != nil:
		to := s.byRole[wire.RoleStdin]
		go func() {
			pour(s.in, number(to))
			_ = to.Close()
			_ = s.tell(wire.KindEnded, nil)
		}()
	case s.lent.input != nil:
		to := s.lent.input
		go func() {
			pour(s.in, number(to))
			_ = to.Close()
		}()
	}
}

// keys begins to copy what is typed, unless the terminal is another job's: to read it would stop the helper. Then it
// begins when the helper is continued in the foreground.
func (s *running) keys() {
	if s.typing || !s.term.keys || !s.term.foreground() {
		return
	}
	to := s.byRole[wire.RolePty]
	if to == nil {
		to = s.byRole[wire.RoleStdin]
	}
	if to == nil {
		return
	}
	s.typing = true
	keys := &detacher{keys: s.answer.Detach}
	go func() {
		_ = pump(s.in, func(b []byte) error {
			s.term.resize()
			b, detach := keys.filter(b)
			err := writeAll(number(to), b)
			if detach {
				s.depart()
			}
			return err
		})
		if s.device { // nobody has the terminal open any more that leads here
			s.end(statusSignal + int(syscall.SIGHUP))
		}
	}()
}

// depart ends the helper, and nothing else, on a line of its own.
func (s *running) depart() {
	_ = writeAll(s.out, []byte("\r\n"))
	s.end(0)
}

// pump passes on what it reads until the end, or until it is not wanted any more. An error says that it could not be
// read.
func pump(from int, to func([]byte) error) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.Read(from, buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			await(from, unix.POLLIN)
			continue
		case err != nil:
			return err
		case n == 0 || to(buf[:n]) != nil:
			return nil
		}
	}
}
