package engine

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/monitor"
)

// stopping is a stop under way: its grace, and who waits for the end.
type stopping struct {
	why     origin      // who began it
	timer   *time.Timer // nil: no limit
	answers []func(error)
	restart []func(error) // they want a start after the end
	again   origin        // of that start
	remove  []func(error) // they want a removal after the end
	removal origin        // of that removal
}

// over is the channel on which the end of the grace comes; nil, and so never, without a stop.
func (p *stopping) over() <-chan time.Time {
	if p == nil || p.timer == nil {
		return nil
	}
	return p.timer.C
}

func (p *stopping) end() {
	if p != nil && p.timer != nil {
		p.timer.Stop()
	}
}

// stop is Stop.
func (s *supervisor) stop(seconds int, answer func(error)) {
	s.stoppedByHand(s.st.State.Alive() || s.st.State == Waiting || s.st.State == Restarting)
	s.halt(seconds, answer)
}

// halt ends the run: the answer comes when the container has ended.
func (s *supervisor) halt(seconds int, answer func(error)) {
	switch {
	case s.st.State == Waiting:
		s.giveUp(fail("start", s.id, Interrupted, "the start was called off by a stop"), "")
		answer(nil)
	case s.st.State == Restarting:
		s.callOff("")
		s.say(actStop)
		answer(nil)
	case !s.st.State.Alive():
		answer(nil)
	default:
		p, err := s.beginStop(seconds)
		if err != nil {
			answer(err)
			return
		}
		p.answers = append(p.answers, answer)
	}
}

// restart is Restart: the answer comes when the container runs again.
func (s *supervisor) restart(seconds int, answer func(error)) {
	if !s.st.State.Alive() {
		s.startAgain([]func(error){answer})
		return
	}
	s.follow(thenStart)
	p, err := s.beginStop(seconds)
	if err != nil {
		s.st.Then = ""
		s.failed("restart", err)
		answer(err)
		return
	}
	p.restart, p.again = append(p.restart, answer), s.why
}

// follow notes what is to follow the end of the run. A removal stays one.
func (s *supervisor) follow(then sequel) {
	if s.st.Then != then && s.st.Then != thenRemove {
		s.st.Then = then
		s.save()
	}
}

// discard is Remove: a container that runs is killed first, if force says so.
func (s *supervisor) discard(force bool, answer func(error)) {
	switch {
	case s.st.State == Waiting:
		s.giveUp(fail("start", s.id, Interrupted, "the start was called off by the removal"), "")
		answer(s.remove())
	case s.st.State == Restarting && force:
		s.callOff("")
		answer(s.remove())
	case s.st.State == Restarting:
		answer(s.stillRuns())
	case !s.st.State.Alive():
		answer(s.remove())
	case !force:
		answer(s.stillRuns())
	default:
		p := s.noteStop()
		p.remove, p.removal = append(p.remove, answer), s.why
		s.follow(thenRemove)
		if s.stuck {
			s.abandon()
			return
		}
		if err := s.signal(syscall.SIGKILL); err != nil {
			s.failed("remove", err) // the answer comes if it ends all the same
		}
	}
}

func (s *supervisor) stillRuns() error {
	return fail("remove", s.id, Running,
		"the container %s is %s; stop it first, or write 'remove force' into its ctl", s.rec.Name, s.st.State)
}

// noteStop makes the state stopping, with no signal and no grace yet.
func (s *supervisor) noteStop() *stopping {
	if s.stopping == nil {
		s.stopping = &stopping{why: s.why}
	}
	if s.enter(inStop) {
		s.save()
	}
	return s.stopping
}

// beginStop sends the stop signal and starts the grace; a stop under way is joined, and shortened if the new grace is
// over sooner.
func (s *supervisor) beginStop(seconds int) (*stopping, error) {
	grace := s.set.stopTimeout()
	if seconds >= 0 {
		grace = time.Duration(min(seconds, maxSeconds)) * time.Second
	}
	joined := s.stopping != nil
	p := s.noteStop()
	if joined && s.stuck { // perhaps it can be ended now
		return p, s.signal(syscall.SIGKILL)
	}
	if joined {
		if seconds >= 0 {
			p.end()
			p.timer = time.NewTimer(grace)
		}
		return p, nil
	}
	if err := s.signal(s.set.stopSignal(s.rec.Image)); err != nil {
		return nil, err
	}
	s.e.crash(stopSignalled)
	if grace >= 0 {
		p.timer = time.NewTimer(grace)
	}
	return p, nil
}

// graceOver ends a stop that the container did not heed.
func (s *supervisor) graceOver() {
	s.stopping.timer = nil
	if err := s.signal(syscall.SIGKILL); err != nil {
		s.failed("stop", err)
	}
	s.e.crash(stopKilled)
}

// kill is Kill. SIGKILL is answered when the container has ended, any other signal when it is sent.
func (s *supervisor) kill(name string, answer func(error)) {
	if name == "" {
		name = "KILL"
	}
	sig, err := parseSignal(name)
	if err != nil {
		answer(fail("kill", s.id, Invalid, "%w", err))
		return
	}
	ends := sig == syscall.SIGKILL || sig == s.set.stopSignal(s.rec.Image)
	switch {
	case s.st.State == Restarting && ends:
		s.stoppedByHand(true)
		s.callOff("")
		answer(nil)
		return
	case !s.st.State.Alive():
		answer(s.notRunning("kill"))
		return
	case ends: // as docker sees it; other signals may mean anything
		s.stoppedByHand(false)
	}
	err = s.signal(sig)
	s.e.crash(killSent)
	if err != nil || sig != syscall.SIGKILL {
		answer(err)
		return
	}
	s.kills = append(s.kills, answer)
}

func (s *supervisor) notRunning(op string) error {
	remedy := ""
	if op == "exec" || op == "attach" {
		remedy = "; start it first"
	}
	return fail(op, s.id, NotRunning, "the container %s is not running: its status is %s%s", s.rec.Name, s.st.State, remedy)
}

// signal sends a signal to the first process. A frozen container takes SIGKILL only when it thaws, and a stop is to end
// it, so both thaw it.
func (s *supervisor) signal(sig syscall.Signal) error {
	err := unix.PidfdSendSignal(int(s.run.pidfd.Fd()), sig, nil, 0)
	if err != nil && !errors.Is(err, unix.ESRCH) { // it has ended, and the monitor is about to say so
		return fail("kill", s.id, kindOfErrno(err), "the signal cannot be sent: %w", err)
	}
	if s.sent == nil {
		s.sent = map[int]origin{}
	}
	s.sent[int(sig)] = s.why
	s.say(actKill, "signal", fmt.Sprint(int(sig)))
	if sig == syscall.SIGKILL {
		s.expectEnd()
	}
	if s.run.group != nil && (s.st.State == Paused || s.stopping != nil) {
		if err := s.run.group.Unpause(s.e.ctx); err != nil && sig == syscall.SIGKILL {
			s.e.o.Logger.Warn("a container cannot be thawed", "container", s.id, "op", "kill", "err", err)
		}
	}
	return nil
}

// await is Wait: tell is called once, when the container does not run.
func (s *supervisor) await(tell func(Exit, error)) {
	if s.st.State.Alive() || s.st.State == Waiting || s.st.State == Restarting {
		s.waiters = append(s.waiters, tell)
		return
	}
	tell(s.lastExit(), nil)
}

func (s *supervisor) lastExit() Exit {
	if s.st.Exit == nil {
		return Exit{}
	}
	return *s.st.Exit
}

// passExit takes an exit from the monitor to its container. One that no container is for belongs to a removal or a
// creation that a daemon did not live to end: nobody else would let it go.
func (e *Engine) passExit(x monitor.Exit) {
	if s := e.index.find(x.ID); s != nil {
		s.deaths.put(x)
		return
	}
	if x.Session != "" {
		return
	}
	if err := e.o.Monitor.Forget(e.ctx, x.ID); err != nil && e.ctx.Err() == nil {
		e.o.Logger.Error("the monitor does not forget a container", "container", x.ID, "op", "forget", "err", err)
	}
}
