package engine

import (
	"strconv"
	"syscall"

	"hull/engine/monitor"
)

// ended takes what the monitor tells of the end of a process.
func (s *supervisor) ended(x monitor.Exit) {
	switch {
	case x.Session != "":
		s.sessionEnded(x)
	case !s.st.State.Alive():
		s.forget() // it was told before, or belongs to a run that was given up
	case !x.Started.Equal(s.st.Run.Started):
		// the same, of an earlier run
	case s.undecided:
		s.undoAttempt(x)
	default:
		s.runEnded(Exit{Code: x.Code, Signal: x.Signal, OOM: x.OOM, Unknown: x.Unknown, At: x.At})
	}
}

// runEnded publishes how the run ended, tells who waits, and only then tidies up.
func (s *supervisor) runEnded(x Exit) {
	again := s.followedBy(x)
	s.enter(inExit)
	p, waiters := s.stopping, s.waiters
	p.end()
	s.examination.end()
	s.stopping, s.waiters, s.examination = nil, nil, nil
	s.endKilling()
	kills := s.kills
	s.stuck, s.kills = false, nil
	s.leaveAll(x)
	oom := s.oomAtEnd(x)
	if again {
		s.restartSoon(x.At.Sub(s.st.Run.Started))
	}
	s.st.Exit, s.st.Finished, s.st.Error = &x, x.At, s.exitSentence(x)
	s.st.Run.PID = 0
	s.save()
	if again {
		s.e.crash(restartNoted)
	}
	s.e.crash(exitWritten)
	if oom {
		s.because(origin{cause: Memory}, func() { s.say(actOOM) })
	}
	s.because(s.endOf(x, p), func() {
		s.say(actDie, "exitCode", strconv.Itoa(x.Code))
		s.sayPlaces(actLeave)
	})
	removed := s.afterRun(p)
	s.forget()
	s.e.crash(exitForgotten)
	for _, tell := range waiters {
		tell(x, nil)
	}
	for _, answer := range kills {
		answer(nil)
	}
	s.tidy()
	if p != nil {
		s.answerStop(p, removed)
	}
	if s.st.Then == thenStart && !removed.done && (p == nil || len(p.restart) == 0) { // asked of a daemon that is dead
		s.later(origin{cause: Recovery}, func() { s.startAgain(nil) })
	}
}

// answerStop answers those who wanted the run to end.
func (s *supervisor) answerStop(p *stopping, removed removal) {
	if !removed.done {
		s.because(p.why, func() { s.say(actStop) })
	}
	for _, answer := range p.answers {
		answer(nil)
	}
	for _, answer := range p.remove {
		answer(removed.err)
	}
	switch {
	case len(p.restart) == 0:
	case !removed.done:
		s.because(p.again, func() { s.startAgain(p.restart) })
	default:
		for _, answer := range p.restart {
			answer(s.endedError("restart"))
		}
	}
}

// removal is what became of a removal right after a run.
type removal struct {
	done bool
	err  error
}

// afterRun removes the container if somebody waits for that or its settings say so, and nobody wants it started again.
// It comes before the monitor answers `run --rm`, so that the container is gone when that returns.
func (s *supervisor) afterRun(p *stopping) (r removal) {
	asked := s.st.Then == thenRemove
	if !asked && (s.st.Then == thenStart || !s.set.flag("auto_remove")) {
		return removal{}
	}
	why := origin{cause: AutoRemove}
	switch {
	case asked && p != nil:
		why = p.removal
	case asked: // of a daemon that is dead
		why = origin{cause: Recovery}
	}
	s.because(why, func() {
		r.err = s.remove()
		if r.err != nil && !asked {
			s.failed("remove", r.err)
		}
	})
	r.done = r.err == nil
	return r
}

// startAgain is the second half of a restart.
func (s *supervisor) startAgain(answers []func(error)) {
	s.start(nil, func(err error) {
		if err == nil {
			s.say(actRestart)
		}
		for _, answer := range answers {
			answer(err)
		}
	})
}

// tidy gives back what the run had. A start that follows finds all of it done: it is the same goroutine.
func (s *supervisor) tidy() {
	s.e.quiet.stir()
	r := s.run
	s.run = nil
	if r == nil {
		return
	}
	s.unmountSoon(r)
	s.leaveRemains(r)
	r.close()
	s.view.runEnded()
	s.leaveNetworks()
	if p := s.st.Run.Process; p != nil {
		s.giveVolumes(p.Mounts)
	}
	r.lease.drop()
	s.e.crash(exitTidied)
}

// unmountSoon closes the last hold on a run's overlay in the background: it may take as long as its file system has to
// write. A start waits for it, a removal need not.
func (s *supervisor) unmountSoon(r *run) {
	if r.root == nil {
		return
	}
	root, done := r.root, make(chan struct{})
	if s.e.spawn(func() {
		closeAll(root)
		close(done)
	}) {
		r.root, s.unmount = nil, done
	}
}

// exitSentence is what a container's error says after a run: nothing, unless the end needs explaining.
func (s *supervisor) exitSentence(x Exit) string {
	switch {
	case x.OOM && x.Signal == int(syscall.SIGKILL):
		return "out of memory: the kernel ended it, because it " + s.wanted()
	case x.OOM:
		return "out of memory: the kernel ended a process in it, which " + s.wanted()
	case x.Unknown:
		return "nobody saw how it ended: the machine or hull's monitor went down while it ran"
	}
	return s.restartSentence(x)
}
