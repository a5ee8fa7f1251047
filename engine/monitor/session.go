package monitor

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// session is a further process in a container: an exec.
type session struct {
	server  *server
	id, key string
	pid     int
	started time.Time
	report  bool
	label   []byte
	pidfd   *os.File
	status  *status // nil if nobody waits for it
	hungUp  bool
	orphan  bool   // another monitor's child
	hold    string // what the daemon calls its duplicates, see keep
}

func (s *server) session(m *message) *Error {
	pidfd := m.files[slotPidfd]
	orphan := pidfd != nil && !isChild(pidfd)
	if pidfd == nil || orphan && !m.Again {
		return &Error{Op: string(opSession), ID: m.ID, Kind: Invalid, Sentence: "the session's process is not the monitor's child"}
	}
	t := &session{
		server: s, id: m.ID, key: m.Key, pid: m.PID, started: m.Started, report: m.Report, label: m.Payload,
		pidfd: m.take(slotPidfd), orphan: orphan, hold: m.Hold,
	}
	if t.started.IsZero() {
		t.started = time.Now()
	}
	s.sessions[t] = true
	src, err := s.onEnd(t.pidfd, t.orphan, func(e ended) { s.sessionEnded(t, exitOf(t.id, e, t.started)) })
	if f := m.take(slotStatus); f != nil && err == nil {
		t.status = &status{server: s, file: f, session: t}
		err = t.status.watch()
	}
	if m.HungUp && err == nil {
		t.hangUp()
	}
	if err != nil {
		src.drop()
		t.status.close()
		delete(s.sessions, t)
		closed(t.pidfd)
		return asError(string(opSession), err)
	}
	return nil
}

func (s *server) sessionEnded(t *session, e Exit) {
	delete(s.sessions, t)
	closed(t.pidfd)
	if t.status != nil {
		t.status.finish(e.status())
	}
	s.tellOver(t.hold)
	if t.report && s.daemon != nil {
		e.Session = t.key
		s.tellExit(e)
	}
}

// hangUp ends a session as the end of its terminal would: who leads it, and all of its process group, hear of it. One
// that does not care is killed after a while; what it has put into other groups and sessions is its own affair.
func (t *session) hangUp() {
	if t.hungUp {
		return
	}
	t.hungUp = true
	t.signalAll(unix.SIGHUP)
	t.signalAll(unix.SIGCONT) // who is stopped could not hear
	t.server.after(t.server.o.HangUpWithin, func() {
		if t.server.sessions[t] {
			t.signalAll(unix.SIGKILL)
		}
	})
}

// signalAll reaches the group that the process leads from its release on, and before that the process. It has not been
// waited for, so its number is its own.
func (t *session) signalAll(n unix.Signal) {
	if t.orphan {
		t.signalOrphan(n)
		return
	}
	if unix.Kill(-t.pid, n) != nil {
		_ = signalTo(t.pidfd, n)
	}
}

// find gives a session, nil if it is over.
func (s *server) find(id, key string) *session {
	for t := range s.sessions {
		if t.id == id && t.key == key {
			return t
		}
	}
	return nil
}

// hangUp is Client.HangUp.
func (s *server) hangUp(id, key string) {
	if t := s.find(id, key); t != nil {
		t.hangUp()
		return
	}
	c := s.containers[id]
	if c == nil || key == "" {
		return
	}
	for _, t := range c.statuses {
		if t.key == key {
			t.left()
			return
		}
	}
}

// signal is Client.Signal.
func (s *server) signal(id, key string, n unix.Signal) {
	if t := s.find(id, key); t != nil {
		_ = signalTo(t.pidfd, n) // it may have ended, and is about to be waited for
	}
}

// listSessions tells a new daemon of what goes on in containers.
func (s *server) listSessions(d *daemon, seq uint64) {
	for t := range s.sessions {
		if !t.report {
			s.tellKept(t.hold, func() *message {
				if !s.sessions[t] {
					return nil
				}
				return t.message(opSession)
			})
			continue
		}
		d.peer.send(func() *message {
			if !s.sessions[t] {
				return nil
			}
			m := t.message(opHeld)
			m.Seq = seq
			return m
		})
	}
	for _, c := range s.containers {
		for _, t := range c.statuses {
			if t.key == "" {
				s.tellKept(t.hold, func() *message {
					if t.container == nil {
						return nil
					}
					return t.message(opAttach)
				})
				continue
			}
			d.peer.send(func() *message {
				if t.container == nil {
					return nil
				}
				m := t.message(opHeld)
				m.Seq = seq
				return m
			})
		}
	}
}
