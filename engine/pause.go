package engine

import (
	"context"
	"errors"
	"time"
)

// Freezing a container and letting it go on.

// pause is Pause, and briefly Still. A session that is being made is made first: its process would be frozen half-way into the container,
// and whoever waits for it with it.
func (s *supervisor) pause(briefly bool, answer func(error)) {
	for _, x := range s.sessions {
		if x.entering {
			s.pauses = append(s.pauses, pausing{s.why, briefly, answer})
			return
		}
	}
	answer(s.freeze(briefly))
}

// pausing is a wish to have it frozen.
type pausing struct {
	why     origin
	briefly bool
	answer  func(error)
}

// resumePause goes on with pauses when no session is entering any more.
func (s *supervisor) resumePause() {
	all := s.pauses
	s.pauses = nil
	for _, p := range all {
		s.because(p.why, func() { s.pause(p.briefly, p.answer) })
	}
}

// pauseWithin bounds the wait for processes to freeze: one that waits in the kernel does not before that ends.
const pauseWithin = 5 * time.Second

// freeze notes first that a later daemon is to thaw it: this one may die before it can say that it is paused.
func (s *supervisor) freeze(briefly bool) error {
	if _, ok := next(s.st.State, inPause); !ok {
		if s.st.State == Paused {
			return fail("pause", s.id, Busy, "the container %s is paused already", s.rec.Name)
		}
		return s.notRunning("pause")
	}
	if s.run.group == nil {
		return fail("pause", s.id, System, "the cgroup of the container %s is gone, so it cannot be frozen", s.rec.Name)
	}
	ctx, cancel := context.WithTimeout(s.e.ctx, pauseWithin)
	defer cancel()
	s.noteThaw(true)
	s.e.crash(pauseNoted)
	if err := s.run.group.Pause(ctx); err != nil {
		s.noteThaw(false)
		if errors.Is(err, context.DeadlineExceeded) {
			return fail("pause", s.id, Busy, "the container %s was not at rest within %v, because a process in it waits in the kernel; it goes on", s.rec.Name, pauseWithin)
		}
		return fail("pause", s.id, kindOfErrno(err), "the container cannot be frozen: %w", err)
	}
	s.e.crash(pauseFrozen)
	s.st.Run.Thaw = briefly
	s.enter(inPause)
	s.save()
	s.e.crash(pauseWritten)
	s.say(actPause)
	return nil
}

// noteThaw notes whether the next daemon is to thaw it.
func (s *supervisor) noteThaw(thaw bool) {
	s.st.Run.Thaw = thaw
	s.save()
}

// thawAgain ends a freezing that the old daemon has begun and not ended, or ended and not noted, or that was to last no
// longer than its own work.
func (s *supervisor) thawAgain() {
	if !s.st.State.Alive() || !s.st.Run.Thaw || s.run.group == nil {
		return
	}
	if err := s.run.group.Unpause(s.e.ctx); err != nil {
		s.failed("unpause", fail("unpause", s.id, kindOfErrno(err), "the container cannot be thawed: %w", err))
		return
	}
	s.st.Run.Thaw = false
	thawed := s.enter(inUnpause)
	s.save()
	if thawed {
		s.say(actUnpause)
	}
}

// unpause is Unpause.
func (s *supervisor) unpause() error {
	if _, ok := next(s.st.State, inUnpause); !ok {
		return fail("unpause", s.id, Busy, "the container %s is not paused: its status is %s", s.rec.Name, s.st.State)
	}
	if s.run.group == nil {
		return fail("unpause", s.id, System, "the cgroup of the container %s is gone, so it cannot be thawed", s.rec.Name)
	}
	s.noteThaw(true)
	s.e.crash(unpauseNoted)
	if err := s.run.group.Unpause(s.e.ctx); err != nil {
		s.noteThaw(false)
		return fail("unpause", s.id, kindOfErrno(err), "the container cannot be thawed: %w", err)
	}
	s.e.crash(unpauseThawed)
	s.st.Run.Thaw = false
	s.enter(inUnpause)
	s.save()
	s.say(actUnpause)
	return nil
}
