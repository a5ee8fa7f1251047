package engine

import (
	"fmt"
	"strconv"
	"time"
)

// restartNote is what a container's policy has done since somebody started it, and what it is about to do. It is in
// state.json: the next daemon goes on with it.
type restartNote struct {
	Count int           `json:"count,omitempty"` // starts by the policy, the one to come included
	Delay time.Duration `json:"delay,omitempty"` // the last back-off
	Due   time.Time     `json:"due,omitzero"`    // of the start that is to come; zero if none is
}

// pending tells whether a start is to come.
func (n restartNote) pending() bool { return !n.Due.IsZero() }

// left is the rest of the back-off. A clock that was set makes it no longer than it was.
func (n restartNote) left(now time.Time) time.Duration {
	return max(0, min(n.Due.Sub(now), n.Delay))
}

// restarting is a back-off that is running out. It costs one timer; nothing looks whether it is over.
type restarting struct{ timer *time.Timer }

// due is the channel on which its end comes; nil, and so never, without one.
func (r *restarting) due() <-chan time.Time {
	if r == nil {
		return nil
	}
	return r.timer.C
}

func (r *restarting) end() {
	if r != nil {
		r.timer.Stop()
	}
}

// startsAtOnce is how many containers policies start at the same time: when a machine comes back with a thousand of
// them, it must still do what people ask of it.
const startsAtOnce = 8

// stoppedByHand notes that somebody wants the container not to run, for unless-stopped. Where a policy is, the record
// has it too: a power failure must not bring the container back. With later, whoever calls saves the state.
func (s *supervisor) stoppedByHand(later bool) {
	if s.st.State == Dead {
		return
	}
	if !s.st.Stopped {
		s.st.Stopped = true
		if !later {
			s.save()
		}
	}
	if s.rec.Stopped || s.set.restart().none() {
		return
	}
	rec := *s.rec
	rec.Stopped = true
	if err := s.keepSoon(&rec); err != nil {
		s.failed("stop", fmt.Errorf("that it was stopped cannot be written, so it may be started at the next mount: %w", err))
	}
}

// followedBy tells whether the policy wants another run after one that ends now. It does not if somebody has ended this
// one, or says what is to follow; nor while the mount ends.
func (s *supervisor) followedBy(x Exit) bool {
	switch {
	case s.stopping != nil, s.st.State == Stopping, s.st.Stopped, s.st.Then != "", s.set.flag("auto_remove"), s.e.halting.Load(), s.e.fresh:
		return false
	}
	return s.set.restart().again(x.Code, s.st.Restarts.Count)
}

// restartSoon makes the state restarting, of a container that does not run, after a run (or a failed start) of that
// length. Whoever calls saves the state.
func (s *supervisor) restartSoon(ran time.Duration) {
	s.enter(inRetry)
	n := &s.st.Restarts
	n.Count++
	n.Delay = backOff(n.Delay, ran)
	n.Due = time.Now().Add(n.Delay).Round(0)
	s.armRestart()
}

// armRestart lets the back-off run out that the state tells of.
func (s *supervisor) armRestart() {
	s.restarting.end()
	s.restarting = &restarting{time.NewTimer(s.st.Restarts.left(time.Now()))}
}

// restartSentence explains what a restarting container waits for, or why a policy has given up.
func (s *supervisor) restartSentence(x Exit) string {
	p, n := s.set.restart(), s.st.Restarts
	switch {
	case s.st.State == Restarting:
		return fmt.Sprintf("it ended with %d; by its restart policy (%s) it is started again after a pause of %v, for the %s time", x.Code, p, n.Delay, ordinal(n.Count))
	case p.word == policyFailure && p.most > 0 && x.Code != 0 && n.Count >= p.most && s.stopping == nil && !s.st.Stopped:
		return fmt.Sprintf("it ended with %d, and has been started as often as its restart policy (%s) says; start it to begin anew", x.Code, p)
	}
	return ""
}

func ordinal(n int) string {
	suffix := "th"
	if n/10%10 != 1 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return strconv.Itoa(n) + suffix
}

// backOffOver has the container started when it is its turn. It can be stopped while it waits for that.
func (s *supervisor) backOffOver() {
	r := s.restarting
	s.e.spawn(func() {
		select {
		case s.e.turns <- struct{}{}:
		case <-s.e.ctx.Done():
			return
		case <-s.done:
			return
		}
		defer func() { <-s.e.turns }()
		done := make(chan struct{})
		if !s.later(origin{cause: Policy}, func() {
			defer close(done)
			if s.restarting == r {
				s.startByPolicy()
			}
		}) {
			return
		}
		select {
		case <-done:
		case <-s.done:
		}
	})
}

// startByPolicy is a start that nobody has asked for. If it fails, it is tried again.
func (s *supervisor) startByPolicy() {
	s.e.crash(restartDue)
	s.restarting.end()
	s.restarting = nil
	s.startOrRetry()
}

func (s *supervisor) startOrRetry() {
	s.startNow(nil, func(err error) {
		if err != nil && s.st.Restarts.pending() {
			s.say(actError, "op", "start", "error", err.Error())
			s.restartFailed(err)
		}
	})
}

// restartFailed follows the failure of a start by the policy: what was missing may come, so it is tried again as after
// a run that failed.
func (s *supervisor) restartFailed(err error) {
	if s.e.ctx.Err() != nil {
		return // the next daemon goes on with it
	}
	code := kindOfErrno(err).ExitCode()
	if s.st.Stopped || s.e.halting.Load() || !s.set.restart().again(code, s.st.Restarts.Count) {
		s.callOff(err.Error())
		return
	}
	s.restartSoon(0)
	s.st.Error = fmt.Sprintf("%v; by its restart policy (%s) it is tried again after a pause of %v, for the %s time",
		err, s.set.restart(), s.st.Restarts.Delay, ordinal(s.st.Restarts.Count))
	s.save()
	s.e.crash(restartNoted)
}

// callOff ends a back-off without a start, for a reason to be shown or none. Who waits for the next end learns of the
// last.
func (s *supervisor) callOff(reason string) {
	s.restarting.end()
	s.restarting = nil
	s.enter(inCallOff)
	s.st.Restarts.Due, s.st.Error = time.Time{}, reason
	s.save()
	s.tellWaiters()
}

// tellWaiters answers those who wait for the end of a run that will not be.
func (s *supervisor) tellWaiters() {
	waiters := s.waiters
	s.waiters = nil
	for _, tell := range waiters {
		tell(s.lastExit(), nil)
	}
}

// policyChanged follows a change of the settings: a back-off ends with the policy that wanted it.
func (s *supervisor) policyChanged() {
	if s.st.State == Restarting && !s.set.restart().again(s.lastExit().Code, s.st.Restarts.Count-1) {
		s.callOff("")
	}
}

// startAttributes are what the event of a start tells of it, if it was the policy's.
func (s *supervisor) startAttributes() []string {
	if !s.st.Restarts.pending() {
		return nil
	}
	return []string{"policy", s.set.restart().String(), "restarts", strconv.Itoa(s.st.Restarts.Count)}
}

// comeBack has a container started that does not run, if its policy says so of a new mount.
func (s *supervisor) comeBack() {
	if s.gone || s.st.State != Exited || !s.rec.Started || s.st.Then != "" || !s.set.restart().back(s.st.Stopped || s.rec.Stopped) {
		return
	}
	s.enter(inRetry)
	s.st.Restarts = restartNote{Due: time.Now().Round(0)}
	s.save()
	s.armRestart()
}
