package session

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hull/fs/wire"
)

// line is a session on an opened descriptor: what is read and written there goes through a terminal (or for a verb that
// has no use for one, a socket), at the other end of which stands a helper of the same kind that executing the file
// would be. The terminal can be opened by others too, by its path: with that they can poll, set its size, and have what
// a descriptor of a FUSE mount cannot give. The helper runs with the opener's ids. It ends, and hangs the session up,
// when nobody has its terminal open any more; and when it ends, what it has written is there to be read until the end.
type line struct {
	near   *os.File // the daemon's end of it
	master *os.File // of the terminal, kept so that what the helper wrote is not lost with it; nil for a socket
	path   string   // of the terminal; empty for a socket
	pidfd  *os.File // the helper
	over   chan struct{}

	reading, writing chan struct{} // each holds one
	answer           chan error
	once             sync.Once
}

// onTerminal are the kinds of verbs whose sessions have a terminal, and whose beginning Begin waits for.
func onTerminal(kind string) bool {
	return kind == "exec" || kind == "attach" || kind == "run"
}

// Descriptor tells why a kind of verb cannot be a session on a descriptor; nil if it can.
func Descriptor(kind string) error {
	switch kind {
	case "enter":
		return errors.New("enter needs a COMMAND: execute it, or open a file in exec/ read-write")
	case "load":
		return errors.New("load cannot see the end of what a descriptor is given that is also read: write the archive to it, or execute it")
	case "login", "search", "tags", "prune", "pull":
		return errors.New(kind + " needs arguments or a terminal: execute it")
	}
	return nil
}

// Begin begins the session on the descriptor, if it has not been begun, and returns when it is there: an error is the
// Handler's, or a system's.
func (h *Handle) Begin(ctx context.Context) error {
	_, err := h.begin(ctx)
	return err
}

func (h *Handle) begin(ctx context.Context) (*line, error) {
	select {
	case <-h.begun:
		defer func() { h.begun <- struct{}{} }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	h.server.mu.Lock()
	l, closed := h.line, h.closed || h.server.closed
	h.server.mu.Unlock()
	switch {
	case l != nil || h.failed != nil:
		return l, h.failed
	case closed:
		return nil, os.ErrClosed
	}
	l, err := h.connect(ctx)
	if err != nil && ctx.Err() == nil { // one that was interrupted may be begun again
		h.failed = err
	}
	return l, err
}

// connect makes the line and waits for the answer to its call.
func (h *Handle) connect(ctx context.Context) (*line, error) {
	l := &line{
		over: make(chan struct{}), reading: make(chan struct{}, 1), writing: make(chan struct{}, 1),
		answer: make(chan error, 1),
	}
	l.reading <- struct{}{}
	l.writing <- struct{}{}
	s := h.server
	s.mu.Lock()
	h.line = l
	s.mu.Unlock()
	err := l.open(h)
	if err == nil && onTerminal(h.verb.Kind) {
		select {
		case err = <-l.answer:
		case <-l.over:
			select {
			case err = <-l.answer: // it came, and the helper has been quick
			default:
				err = errors.New("the session ended before it began")
			}
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		l.hangUp()
		s.mu.Lock()
		h.line = nil
		s.mu.Unlock()
		return nil, err
	}
	return l, nil
}

// open makes both ends and starts the helper.
func (l *line) open(h *Handle) error {
	far, err := l.ends(h)
	if err != nil {
		return err
	}
	defer func() {
		if far != l.master {
			_ = far.Close()
		}
	}()
	var ticket [wire.TicketSize]byte
	if errno := h.ticket(ticket[:]); errno != 0 {
		return errno
	}
	told, teller, err := os.Pipe()
	if err != nil {
		return err
	}
	defer told.Close()
	defer teller.Close()
	if _, err := teller.Write(ticket[:]); err != nil { // it fits into the pipe
		return err
	}
	return l.start(h, far, told)
}

func (l *line) ends(h *Handle) (far *os.File, err error) {
	if onTerminal(h.verb.Kind) {
		l.master, l.near, l.path, err = openTerminal(h.by)
		return l.master, err
	}
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	if err := unix.SetNonblock(p[0], true); err != nil {
		_, _ = unix.Close(p[0]), unix.Close(p[1])
		return nil, os.NewSyscallError("fcntl", err)
	}
	l.near = os.NewFile(uintptr(p[0]), "line")
	return os.NewFile(uintptr(p[1]), "line"), nil
}

// start starts the helper, with the opener's ids, and watches it.
func (l *line) start(h *Handle, far, ticket *os.File) error {
	s := h.server
	if len(s.o.Helper) == 0 {
		return errors.New("this hull has no sessions on descriptors: execute the file")
	}
	cmd := exec.Command(s.o.Helper[0], s.o.Helper[1:]...) //nolint:noctx,gosec // it ends with its terminal, and may outlive the daemon; the program is hull's own
	cmd.Stdin, cmd.Stdout, cmd.ExtraFiles = far, far, []*os.File{ticket}
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"}
	fd := -1
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, PidFD: &fd}
	if l.master != nil { // its window's changes are told to who has it for its own
		cmd.Stderr = far
		cmd.SysProcAttr.Setctty = true
	}
	if !h.by.root() {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: h.by.UID, Gid: h.by.GID, Groups: h.by.Groups}
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	_ = cmd.Process.Release()
	if err := unix.SetNonblock(fd, true); err != nil { // so that its end is waited for in Go's poller
		_ = unix.Close(fd)
		return os.NewSyscallError("fcntl", err)
	}
	l.pidfd = os.NewFile(uintptr(fd), "helper")
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.lines[l] = struct{}{}
		s.joined.Go(func() { s.watch(l) })
	}
	s.mu.Unlock()
	if closed {
		l.abandon()
		return os.ErrClosed
	}
	return nil
}

func (c Credential) root() bool { return c.UID == 0 }

// watch waits for the helper's end.
func (s *Server) watch(l *line) {
	if raw, err := l.pidfd.SyscallConn(); err == nil {
		_ = raw.Read(func(fd uintptr) bool {
			var info unix.Siginfo
			err := unix.Waitid(unix.P_PIDFD, int(fd), &info, unix.WEXITED|unix.WNOHANG, nil)
			return err != nil && !errors.Is(err, unix.EINTR) || info.Signo != 0
		})
	}
	close(l.over)
	_ = l.near.SetReadDeadline(time.Unix(1, 0)) // whoever reads looks whether that is the end
	_ = l.near.SetWriteDeadline(time.Unix(1, 0))
	l.settle(s.ctx)
	_ = l.pidfd.Close()
	s.mu.Lock()
	delete(s.lines, l)
	s.mu.Unlock()
}

// settle gives the terminal's master back as soon as all that was written by the helper has been read by whoever has
// the terminal open: with it goes what is left. A program that has it open reads soon; for who has the descriptor, and
// may never read, nothing is waited: its reads look for themselves.
func (l *line) settle(ctx context.Context) {
	if l.master == nil {
		return
	}
	for pause := 5 * time.Millisecond; pause < 2*time.Second && l.pending(); pause *= 2 {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
	l.drained()
}

// drained gives the master back if nothing is left to be read.
func (l *line) drained() {
	if l.master != nil && !l.pending() {
		_ = l.master.Close()
	}
}

// pending tells whether there is something to be read; not of a terminal that is closed.
func (l *line) pending() bool {
	ready := false
	if raw, err := l.near.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			n, err := unix.Poll(p, 0)
			ready = err == nil && n == 1 && p[0].Revents&unix.POLLIN != 0
		})
	}
	return ready
}

// answered is told what became of the line's call.
func (l *line) answered(err error) {
	if l == nil {
		return
	}
	select {
	case l.answer <- err:
	default:
	}
}

// hangUp closes the daemon's end. The helper ends, unless somebody else has the terminal open.
func (l *line) hangUp() {
	if l == nil {
		return
	}
	l.once.Do(func() {
		for _, f := range []*os.File{l.near, l.master} {
			if f != nil {
				_ = f.Close()
			}
		}
	})
}

// abandon lets go of everything, the wait for the helper too: the daemon ends.
func (l *line) abandon() {
	l.hangUp()
	if l.pidfd != nil {
		_ = l.pidfd.Close()
	}
}
