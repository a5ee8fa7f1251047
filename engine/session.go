package engine

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"hull/engine/monitor"
)

// maxEnded is how many sessions that are over a container still lists, the latest ones: how each ended is there to be
// read for a while, and a command that is executed every second fills nothing.
const maxEnded = 16

// session is a Session and what else its supervisor knows of it.
type session struct {
	Session
	shown    bool // its process is there
	entering bool // its process is being made, or is about to be released
	why      origin
	ending   *origin // who has asked for its end, if somebody has
}

// label is what the monitor keeps of a session for the next daemon.
type label struct {
	Number   int      `json:"number"`
	Attached bool     `json:"attached,omitempty"`
	Look     bool     `json:"look,omitempty"`
	Command  []string `json:"command,omitempty"`
	TTY      bool     `json:"tty,omitempty"`
	Terminal string   `json:"terminal,omitempty"`
	UID      *uint32  `json:"uid,omitempty"` // who asked for it
}

// maxLabel bounds the command in a label.
const maxLabel = 8 << 10

func (x Session) label(why origin) []byte {
	l := label{UID: why.uid, Number: x.Number, Attached: x.Attached, Look: x.Look, TTY: x.TTY, Terminal: x.Terminal}
	for size, i := 0, 0; i < len(x.Command); i++ {
		if size += len(x.Command[i]); size > maxLabel {
			l.Command = append(l.Command, "…")
			break
		}
		l.Command = append(l.Command, x.Command[i])
	}
	b, err := json.Marshal(l)
	if err != nil { // strings, numbers and switches
		return nil
	}
	return b
}

// recoverSessions lists the sessions that the last daemon began and that go on.
func (s *supervisor) recoverSessions(held []*monitor.Held) {
	for _, h := range held {
		var l label
		if json.Unmarshal(h.Label, &l) != nil || l.Number <= 0 && !l.Look {
			l.Number = s.freeNumber()
		}
		s.sessions = append(s.sessions, &session{shown: true, why: origin{uid: l.UID, cause: Asked}, Session: Session{
			ID: h.Key, Number: l.Number, Attached: l.Attached, Look: l.Look, PID: h.PID, Command: l.Command, TTY: l.TTY,
			Terminal: l.Terminal, Started: h.Started,
		}})
	}
}

// freeNumber is the lowest N of sessions/N that is free.
func (s *supervisor) freeNumber() int {
	for n := 1; ; n++ {
		free := true
		for _, x := range s.sessions {
			free = free && x.Number != n
		}
		if free {
			return n
		}
	}
}

// known finds a session by its ID; nil if it is not there (any more).
func (s *supervisor) known(id string) *session {
	for _, x := range s.sessions {
		if x.ID == id {
			return x
		}
	}
	return nil
}

// sessionBegan shows a session.
func (s *supervisor) sessionBegan(x Session) {
	known := s.known(x.ID)
	if known == nil {
		return
	}
	known.Session, known.shown = x, true
	if x.Look {
		return
	}
	s.publish()
	did := actExec
	if x.Attached {
		did = actAttach
	}
	s.because(known.why, func() { s.say(did, "execID", x.ID) })
}

// sessionEnded notes how a session ended. One whose process never was there is forgotten.
func (s *supervisor) sessionEnded(x monitor.Exit) {
	known := s.known(x.Session)
	switch {
	case known == nil || known.Exit != nil:
		return
	case known.Look:
		s.lookEnded(known, x)
		return
	case !known.shown:
		s.dropSession(known)
		return
	}
	code := x.Code
	known.Exit, known.Ended = &code, x.At
	s.dropOldest()
	s.publish()
	s.sayEnd(known)
}

// sayEnd tells that a session has ended: of itself, unless somebody has asked for that.
func (s *supervisor) sayEnd(x *session) {
	why := origin{uid: x.why.uid, cause: Ended}
	if x.ending != nil {
		why = *x.ending
	}
	s.because(why, func() {
		if x.Attached {
			s.say(actDetach, "execID", x.ID)
		} else {
			s.say(actExecDie, "execID", x.ID, "exitCode", strconv.Itoa(*x.Exit))
		}
	})
}

// toEnd tells that somebody wants a session to end.
func (s *supervisor) toEnd(why origin, id string, action Action, attributes ...string) {
	s.later(why, func() {
		if x := s.known(id); x != nil && x.Exit == nil {
			x.ending = &why
			s.say(action, append([]string{"execID", id}, attributes...)...)
		}
	})
}

func (s *supervisor) dropSession(x *session) {
	for i, known := range s.sessions {
		if known == x {
			s.sessions = append(s.sessions[:i:i], s.sessions[i+1:]...)
			return
		}
	}
}

// dropOldest forgets the session that ended first, if there are too many.
func (s *supervisor) dropOldest() {
	var oldest *session
	ended := 0
	for _, x := range s.sessions {
		if x.Exit == nil {
			continue
		}
		ended++
		if oldest == nil || x.Ended.Before(oldest.Ended) {
			oldest = x
		}
	}
	if ended > maxEnded {
		s.dropSession(oldest)
	}
}

// leaveAll ends, with the container, the sessions of who was attached to it. Of executed ones the monitor tells the end.
func (s *supervisor) leaveAll(x Exit) {
	for _, known := range s.sessions {
		if known.Attached && known.Exit == nil {
			code := x.Code
			known.Exit, known.Ended = &code, x.At
			s.sayEnd(known)
		}
	}
}

// forgetSessions forgets those of earlier runs.
func (s *supervisor) forgetSessions() {
	var going []*session
	for _, x := range s.sessions {
		if x.Exit == nil {
			going = append(going, x)
		}
	}
	s.sessions = going
}

// sessionOf finds a session of a container by its number.
func (e *Engine) sessionOf(op, id string, number int) (*supervisor, Session, error) {
	s, err := e.lookup(op, id)
	if err != nil {
		return nil, Session{}, err
	}
	for _, x := range s.snapshot.Load().Sessions {
		if x.Number == number {
			return s, x, nil
		}
	}
	return nil, Session{}, fail(op, s.id, Removed, "the session %d is not there any more", number)
}

// KillSession sends a signal to a session's process; empty is SIGKILL. One that has ended is NotRunning.
func (e *Engine) KillSession(ctx context.Context, id string, number int, signal string) error {
	if signal == "" {
		signal = "KILL"
	}
	n, err := parseSignal(signal)
	if err != nil {
		return fail("kill", "", Invalid, "%w", err)
	}
	s, x, err := e.sessionOf("kill", id, number)
	switch {
	case err != nil:
		return err
	case x.Attached:
		return fail("kill", s.id, Invalid, "the session %d is somebody who is attached and has no process; hang-up makes them leave", number)
	case x.Exit != nil:
		return fail("kill", s.id, NotRunning, "the session %d has ended", number)
	}
	s.toEnd(e.origin(ctx), x.ID, actExecKill, "signal", strconv.Itoa(int(n)))
	err = e.o.Monitor.Signal(ctx, s.id, x.ID, int(n))
	e.crash(sessionTold)
	return s.mark("kill", err)
}

// HangUp ends a session as the end of its terminal would; who is attached is made to leave. It returns when that is
// told, and does not wait for the end.
func (e *Engine) HangUp(ctx context.Context, id string, number int) error {
	s, x, err := e.sessionOf("hang-up", id, number)
	switch {
	case err != nil:
		return err
	case x.Exit != nil:
		return fail("hang-up", s.id, NotRunning, "the session %d has ended", number)
	}
	s.toEnd(e.origin(ctx), x.ID, actHangUp)
	err = e.o.Monitor.HangUp(ctx, s.id, x.ID)
	e.crash(sessionTold)
	return s.mark("hang-up", err)
}

// reserveSession lists a session before its process is there.
func (s *supervisor) reserveSession(x Session) Session {
	x.ID, x.Started = newID(), time.Now().Round(0)
	if !x.Look {
		x.Number = s.freeNumber()
	}
	s.sessions = append(s.sessions, &session{Session: x, entering: !x.Attached, why: s.why})
	return x
}
