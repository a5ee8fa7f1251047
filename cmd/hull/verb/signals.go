package verb

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hull/fs/wire"
)

// insist is the how-manyeth signal of those that should end a program ends the helper, whatever the command makes of
// it: the first process of a container ignores those that it does not handle.
const insist = 3

// handOn does what signals ask until done.
func (s *running) handOn(done <-chan struct{}) {
	asked := 0
	for {
		select {
		case <-done:
			return
		case <-s.back():
			if s.term.foreground() {
				s.resumed()
			}
		case g := <-s.signals:
			n, ok := g.(syscall.Signal)
			if !ok {
				continue
			}
			switch n {
			case syscall.SIGWINCH:
				if s.term != nil {
					s.term.resize()
				}
			case syscall.SIGCONT: // of a stop that could not be seen coming
				s.resumed()
			case syscall.SIGTSTP:
				s.suspend()
			default:
				if n == syscall.SIGINT || n == syscall.SIGTERM || n == syscall.SIGQUIT {
					asked++
				}
				if s.term != nil || !s.answer.Signals || asked == insist {
					s.end(statusSignal + int(n))
					continue
				}
				s.send(n)
			}
		}
	}
}

// back fires after a while if the helper waits for its terminal: a shell's fg says nothing to a job that runs.
func (s *running) back() <-chan time.Time {
	if s.term == nil || !s.term.wanting() {
		return nil
	}
	return time.After(250 * time.Millisecond)
}

// suspend stops the helper, and with it a command that is nobody else's. The terminal is what it was meanwhile.
func (s *running) suspend() {
	with := s.term == nil && s.answer.Signals && (s.verb == "exec" || s.verb == "enter")
	if with {
		s.send(syscall.SIGSTOP)
	}
	if s.term != nil {
		s.term.leave()
	}
	stop()
	s.resumed()
	if with {
		s.send(syscall.SIGCONT)
	}
}

// resumed takes the terminal again.
func (s *running) resumed() {
	if s.term != nil {
		s.term.resumed()
		s.keys()
	}
}

// send sends the command a signal: by the daemon, who may, and without one by the command's own descriptor, which
// works for root.
func (s *running) send(n syscall.Signal) {
	if s.tell(wire.KindSignal, wire.EncodeSignal(int(n))) == nil {
		return
	}
	if f := s.byRole[wire.RolePidfd]; f != nil {
		_ = unix.PidfdSendSignal(number(f), n, nil, 0)
	}
}

// end has the helper end with a status. The command is not touched, but for a terminal's hang-up.
func (s *running) end(status int) {
	select {
	case s.leave <- status:
		_, _ = s.wake.Write([]byte{0})
	default:
	}
}
