package engine

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/monitor"
)

// recovery is why a daemon does what the last one has begun.
var recovery = origin{cause: Recovery}

// recover brings a supervisor, whose goroutine has not begun, into the state its container is in. h is what the monitor
// holds of it, nil for nothing; the descriptors become the supervisor's. sessions are what goes on in it.
func (s *supervisor) recover(h *monitor.Held, sessions []*monitor.Held) {
	defer s.publish()
	s.why = recovery
	defer func() { s.why = origin{} }()
	if s.st.State == Dead {
		if h != nil {
			s.e.endStranger(h)
		}
		return
	}
	if st := readState(s.dir); st != nil {
		s.st = *st
	}
	if s.rec.Image != nil {
		if err := s.e.o.Roots.Hold(s.rec.Image.ID, s.id); err != nil {
			s.st.Error = err.Error()
		}
	}
	switch {
	case h != nil && h.Exit == nil:
		s.recoverSessions(sessions)
		s.recoverLive(h)
	case h != nil:
		x := *h.Exit
		h.Close()
		s.recoverEnded(&x)
	default:
		s.recoverEnded(nil)
	}
}

// recoverLive takes over a process that the monitor holds.
func (s *supervisor) recoverLive(h *monitor.Held) {
	r := &run{pidfd: h.Pidfd, pty: h.Pty, stdin: h.Stdin}
	attempt := s.st.Attempt
	switch {
	case attempt != nil && attempt.Started.Equal(h.Started):
		// The old daemon did not come to note whether the command runs.
		s.st.Run, s.st.Attempt, s.st.State = *attempt, nil, Up
		s.undecided = true
		s.later(recovery, s.decide)
	case !s.st.State.Alive() || !s.st.Run.Started.Equal(h.Started):
		// The state was lost, as by a power failure it cannot be with the process alive: take what the monitor knows.
		s.st = state{State: Up, Run: runNote{PID: h.PID, Started: h.Started, Settings: s.rec.Settings, Process: s.likelyProcess()}}
	}
	s.st.Run.PID = h.PID
	if !validRange(s.st.Run.Range) {
		s.st.Run.Range = rangeOf(h.PID)
	}
	if s.st.Run.Range != 0 { // else its users are the host's
		if l, ok := s.e.ranges.lease(s.st.Run.Range); ok {
			s.lease, r.lease = l, l
		}
	}
	s.run = r
	if p := s.st.Run.Process; p != nil {
		for _, m := range p.Mounts {
			if m.Kind == volumeMount {
				s.e.volumes.Resume(m.Source, s.id)
			}
		}
	}
	var err error
	if name := s.e.parts.groups.Of(h.PID); name != "" {
		s.st.Run.Group = name
	}
	if r.group, err = s.e.parts.groups.Open(s.groupName()); err != nil {
		s.st.Error = "its cgroup cannot be opened, so it cannot be paused or entered: " + err.Error()
	}
	if !s.undecided && !slices.Equal(s.rec.Endpoints, s.st.Run.Endpoints) { // the old daemon did not come to that
		s.keepStarted()
	}
	s.examine()
	if s.st.Run.Thaw {
		s.later(recovery, s.thawAgain)
	}
	if s.st.State == Stopping {
		s.later(recovery, s.resumeStop)
	}
}

// catchUp does what is to be done of a run that another daemon began, and for which nobody who looks at the container has
// to wait.
func (s *supervisor) catchUp() {
	if s.run == nil { // it has ended
		return
	}
	if s.run.group != nil {
		s.limitsAgain()
		s.watchOOM()
		s.missedOOM()
	}
	s.boundLog() // the old daemon may have died between a change of them and the monitor's hearing of it
	s.publish()
}

// likelyProcess is what the settings make of the image now.
func (s *supervisor) likelyProcess() *process {
	p, err := s.set.resolve(s.id, "", s.imageOrNone())
	if err != nil {
		return nil
	}
	return &p
}

// resumeStop goes on with a stop that the old daemon had begun: the grace begins anew.
func (s *supervisor) resumeStop() {
	if s.stopping != nil || s.st.State != Stopping {
		return
	}
	if _, err := s.beginStop(-1); err != nil {
		s.failed("stop", err)
	}
}

// decide finds out whether a process whose start the old daemon did not live to note runs its command. The stub that
// waits for the release ends by itself when the daemon dies, so within moments it has either become the command or ended.
func (s *supervisor) decide() {
	deadline := time.After(decideWithin)
	for s.undecided && !s.released(s.st.Run.PID) {
		select {
		case <-s.e.ctx.Done():
			return
		case <-s.deaths.ready:
			if x, ok := s.deaths.take(); ok {
				s.ended(x)
			}
		case <-deadline:
			s.e.o.Logger.Warn("a container's start has not been decided and counts as done", "container", s.id, "op", "start")
			s.decided()
		case <-time.After(2 * time.Millisecond):
		}
	}
	if s.undecided {
		s.decided()
	}
}

// decided notes that the command runs.
func (s *supervisor) decided() {
	s.undecided = false
	attributes := s.startAttributes()
	s.st.Stopped, s.st.Restarts.Due = false, time.Time{}
	s.save()
	if s.toKeep() {
		s.keepStarted()
	}
	s.sayPlaces(actConnect)
	s.say(actStart, attributes...)
}

// released tells whether the process runs the command; not if it has ended. The pidfd makes sure that the number is
// still its own.
func (s *supervisor) released(pid int) bool {
	return s.e.parts.released(pid) && unix.PidfdSendSignal(int(s.run.pidfd.Fd()), 0, nil, 0) == nil
}

// decideWithin bounds the wait for a stub that neither ends nor becomes a command.
const decideWithin = 10 * time.Second

// exitAbandoned is the exit of a stub whose daemon died before it released it.
const exitAbandoned = 124

// released tells whether a process has become a command, or the init before it. The stub runs from a memory file of this
// name, which no command of a container's files does, and a process that has ended has no file any more.
func released(pid int) bool {
	exe, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
	return err == nil && !strings.HasPrefix(exe, "/memfd:hull-init ")
}

// undoAttempt ends a start that the old daemon did not live to finish; one that got as far as the command was a run.
func (s *supervisor) undoAttempt(x monitor.Exit) {
	s.undecided = false
	if x.Code != exitAbandoned {
		s.ended(x)
		return
	}
	s.st.State = Created
	if s.rec.Started {
		s.st.State = Exited
	}
	s.st.Run.PID = 0
	s.forget()
	s.tidy()
	s.attemptUndone()
}

// attemptUndone shows a start that was undone; a container that was to be there only if it started goes.
func (s *supervisor) attemptUndone() {
	if s.rec.Provisional {
		if err := s.remove(); err != nil {
			s.failed("remove", err)
		}
		return
	}
	if s.st.Then == thenStart { // it was the second half of a restart
		s.recoverSequel()
		return
	}
	if s.st.Restarts.pending() { // the policy's
		s.enter(inRetry)
		s.armRestart()
		s.save()
		return
	}
	s.failed("start", errors.New("the start was interrupted, because hull's daemon ended; start it again"))
}

// recoverEnded is for a container without a process. x is an exit that the monitor has not been told to forget.
func (s *supervisor) recoverEnded(x *monitor.Exit) {
	if attempt := s.st.Attempt; attempt != nil {
		s.st.Attempt = nil
		if x == nil || !x.Started.Equal(attempt.Started) || x.Code == exitAbandoned {
			s.forget()
			s.waitingNoMore()
			s.attemptUndone()
			return
		}
		s.st.Run, s.st.State = *attempt, Up
		if !s.rec.Started {
			s.keepStarted()
		}
	}
	switch {
	case s.st.State.Alive():
		s.runEnded(s.lastSeen(x))
	case s.st.State == Waiting:
		s.waitingNoMore()
		s.later(recovery, s.startOrRetry)
	case s.st.State == Restarting:
		if x != nil {
			s.forget()
		}
		s.armRestart()
	case s.rec.Provisional:
		s.attemptUndone()
	default:
		if x != nil {
			s.forget()
		}
		if s.rec.Recreate {
			if err := s.freshLayer(); err != nil {
				s.failed("recreate", err)
			}
		}
		s.recoverSequel()
	}
}

// waitingNoMore is the state that a wait came from.
func (s *supervisor) waitingNoMore() {
	switch {
	case s.st.State != Waiting:
	case s.rec.Started:
		s.st.State = Exited
	default:
		s.st.State = Created
	}
}

// recoverSequel does what was to follow the end of the last run.
func (s *supervisor) recoverSequel() {
	switch {
	case s.st.Then == thenStart:
		s.later(recovery, func() { s.startAgain(nil) })
	case s.st.Then == thenRemove, s.rec.Started && s.set.flag("auto_remove"):
		if err := s.remove(); err != nil {
			s.failed("remove", err)
		}
	}
}

// lastSeen is how a run ended that no daemon has noted: as the monitor says, as its record says, or unknown.
func (s *supervisor) lastSeen(x *monitor.Exit) Exit {
	if x == nil || !x.Started.Equal(s.st.Run.Started) {
		r, err := monitor.ReadExit(s.dir)
		if err != nil || !r.Started.Equal(s.st.Run.Started) {
			return Exit{Code: 255, Unknown: true, At: time.Now().Round(0)}
		}
		x = &r
	}
	return Exit{Code: x.Code, Signal: x.Signal, OOM: x.OOM, Unknown: x.Unknown, At: x.At}
}
