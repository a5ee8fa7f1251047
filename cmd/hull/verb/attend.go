package verb

import (
	"errors"
	"io"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"hull/engine/logs"
	"hull/engine/monitor"
	"hull/fs/wire"
)

// running is a command that runs.
type running struct {
	*helper
	answer  *wire.Answer
	byRole  map[wire.Role]*os.File
	status  int // descriptor
	term    *terminal
	typing  bool // the caller's keys are being copied
	log     *logs.Log
	cursor  *logs.Cursor // nil if there is none to follow
	reading int64        // number of the log's segment that the monitor knows to be read
	newest  int64        // and of the last that it has given
	stamps  *stamper     // nil if lines are printed without their times
	reads   bool         // the log cannot be moved to the output without reading it
	sources []source
	leave   chan int // a status to end with before the command does
	wake    *os.File // writing to it wakes the loop
}

// attend prints an answer and, if there is something to wait for, stands in for it until it ends.
func (h *helper) attend(a *wire.Answer, files []*os.File) int {
	defer func() {
		for _, f := range files {
			_ = f.Close()
		}
	}()
	if a.Text != "" && a.Code == 0 {
		a.Text = h.keepID(a.Text, !slices.Contains(a.Roles, wire.RoleStatus))
	}
	if a.Text != "" {
		if err := writeAll(h.out, []byte(a.Text)); err != nil && a.Code == 0 {
			a.Code = h.unwritten(err)
		}
	}
	if a.Sentence != "" {
		h.complain(a.Sentence)
	}
	if a.Code == statusFailed { // of the session, which does not know of the file's kind
		a.Code = h.failing()
	}
	s := &running{helper: h, answer: a, byRole: map[wire.Role]*os.File{}, leave: make(chan int, 1)}
	for i, r := range a.Roles {
		s.byRole[r] = files[i]
	}
	s.openLog()
	if s.byRole[wire.RoleStatus] == nil {
		if err := s.follow(); err != nil {
			return h.broken(err)
		}
		return a.Code
	}
	status, err := s.run()
	if err != nil {
		h.complain(err.Error())
		return h.failing()
	}
	return status
}

// openLog begins to read the log that is to be followed, if there is one.
func (s *running) openLog() {
	log, index := s.byRole[wire.RoleLog], s.byRole[wire.RoleIndex]
	if log == nil || index == nil {
		return
	}
	s.newest = s.answer.Segment
	s.log = logs.Follow(append(s.segments, logs.Segment{Number: s.newest, Log: log, Index: index}))
	s.cursor = s.log.Cursor(s.answer.From)
	s.reading = s.newest
	if s.answer.Stamps {
		s.stamps = &stamper{}
	}
}

// run copies until the command has ended and all that it has written is printed.
func (s *running) run() (int, error) {
	s.status = number(s.byRole[wire.RoleStatus])
	s.sources = s.lent.outputs
	woken, wake, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer woken.Close()
	defer wake.Close()
	s.wake = wake
	if s.term = s.terminal(); s.term != nil {
		s.term.resize()
		s.term.enter()
		defer s.term.end()
	}
	if master := s.byRole[wire.RolePty]; master != nil && s.cursor == nil {
		s.sources = append(s.sources, source{master, number(master), s.out})
	}
	s.input()
	done := make(chan struct{})
	handed := make(chan struct{})
	go func() {
		defer close(handed)
		s.handOn(done)
	}()
	status, err := s.loop(number(woken))
	close(done)
	<-handed
	return status, err
}

// terminal is the caller's terminal, if the command has one.
func (s *running) terminal() *terminal {
	status, master := s.byRole[wire.RoleStatus], s.byRole[wire.RolePty]
	t := &terminal{fd: s.terminalOf(), keys: s.interactive && (master != nil || s.byRole[wire.RoleStdin] != nil)}
	switch {
	case master != nil:
		t.tell = func(w *unix.Winsize) { _ = unix.IoctlSetWinsize(number(master), unix.TIOCSWINSZ, w) }
	case s.answer.Terminal && s.verb == "attach" && !t.keys: // who only looks changes nothing
		return nil
	case s.answer.Terminal:
		t.tell = func(w *unix.Winsize) { _ = monitor.Resize(status, w.Row, w.Col) }
		// The program has drawn its screen for others before: a change of size has it draw all again.
		t.redraw = s.verb == "attach"
	default:
		return nil
	}
	return t
}

// loop waits for the exit, and copies what comes meanwhile.
func (s *running) loop(woken int) (int, error) {
	if err := s.follow(); err != nil {
		return s.broken(err), nil
	}
	fds := make([]unix.PollFd, 0, 4)
	for {
		fds = append(fds[:0],
			unix.PollFd{Fd: int32(s.status), Events: unix.POLLIN}, unix.PollFd{Fd: int32(woken), Events: unix.POLLIN})
		for _, c := range s.sources {
			fds = append(fds, unix.PollFd{Fd: int32(c.fd), Events: unix.POLLIN})
		}
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return 0, os.NewSyscallError("poll", err)
		} else if err != nil {
			continue
		}
		if fds[1].Revents != 0 {
			return <-s.leave, nil
		}
		kept := s.sources[:0:0]
		for i, c := range s.sources {
			if fds[2+i].Revents != 0 {
				more, err := c.copy()
				if err != nil {
					return s.broken(err), nil
				}
				if !more {
					continue
				}
			}
			kept = append(kept, c)
		}
		s.sources = kept
		if fds[0].Revents != 0 {
			st, err := s.told()
			if err != nil {
				return 0, err
			}
			switch {
			case st.Left:
				return s.finish(0)
			case st.Grew, st.More:
			case s.verb == "follow": // that the container has failed is no failure of this
				return s.finish(0)
			default:
				return s.finish(st.Code)
			}
			if err := s.follow(); err != nil {
				return s.broken(err), nil
			}
		}
	}
}

// told reads one message of the status socket.
func (s *running) told() (monitor.Status, error) {
	st, more, err := monitor.ReadStatus(s.status)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return monitor.Status{Grew: true}, nil
	case errors.Is(err, io.EOF), errors.Is(err, unix.ECONNRESET):
		return st, errors.New("how it ended is not known: hull's monitor has gone away")
	case err != nil:
		return st, err
	case st.More:
		s.goesOn(more)
	}
	return st, nil
}

// finish prints what the command wrote before it ended. What its children, who may live on, write later is not waited
// for. A terminal and a pipe tell by poll, without delay, that nothing is left of what was written before.
func (s *running) finish(code int) (int, error) {
	if err := s.follow(); err != nil {
		return code, nil
	}
	for _, c := range s.sources {
		for more := true; more && ready(c.fd); {
			var err error
			if more, err = c.copy(); err != nil {
				break
			}
		}
	}
	return code, nil
}

// broken is the status of a helper that cannot write: of one that SIGPIPE ends, if nobody reads any more.
func (h *helper) broken(err error) int {
	if errors.Is(err, unix.EPIPE) {
		return statusSignal + int(syscall.SIGPIPE)
	}
	return h.failing()
}
