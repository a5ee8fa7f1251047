package engine

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// start answers when the container runs, when it waits for its image (unless somebody is to be attached: then not
// before it runs), or with the reason why it does neither.
func (s *supervisor) start(b *boarding, answer func(error)) {
	switch {
	case s.st.State == Waiting && b == nil:
		answer(nil) // it joins the start under way
		return
	case s.st.State.Alive() || s.st.State == Waiting:
		answer(fail("start", s.id, Running, "the container %s is %s already", s.rec.Name, s.st.State))
		return
	case s.st.State == Dead:
		answer(fail("start", s.id, Invalid, "the container %s is dead: %s", s.rec.Name, s.st.Error))
		return
	}
	s.restarting.end()
	s.restarting = nil
	s.enter(inCallOff)
	s.st.Restarts = restartNote{}
	s.startNow(b, answer)
}

// startNow is a start of a container that neither runs nor is being started, whoever wants it.
func (s *supervisor) startNow(b *boarding, answer func(error)) {
	if s.rec.Recreate { // it failed half-way
		if err := s.freshLayer(); err != nil {
			answer(err)
			return
		}
	}
	image, err := s.findImage()
	switch {
	case errors.Is(err, ErrPulling):
		s.waitForImage(b, answer)
	case err != nil:
		s.startFailed(err)
		answer(err)
	default:
		s.fillAndLaunch(image, b, answer)
	}
}

// findImage answers the image the container is made of. From the first time it is found it stays, whatever its name may
// point to later.
func (s *supervisor) findImage() (*Image, error) {
	if s.rec.Image != nil {
		return s.rec.Image, nil
	}
	if s.set.text("image") == "" {
		return nil, fail("start", s.id, Invalid, "the container %s has no image; write one into config/image", s.rec.Name)
	}
	image, err := s.e.image(s.set)
	if err != nil {
		return nil, err
	}
	if err := s.e.o.Roots.Hold(image.ID, s.id); err != nil {
		return nil, err
	}
	rec := *s.rec
	rec.Image = image
	if err := s.keep(&rec, s.set); err != nil {
		s.e.o.Roots.Release(image.ID, s.id)
		return nil, err
	}
	return image, nil
}

// launch starts the first process; when it returns nil the command runs. Whatever was made for a start that fails is
// taken back, the attempt shows in the state.
func (s *supervisor) launch(image *Image, b *boarding) error {
	l := &launching{s: s, image: image, board: b}
	s.e.quiet.stir()
	s.starting.Store(true)
	defer s.starting.Store(false)
	defer s.e.pool.refill()
	err := forAnotherMachine(l.do(), image.Platform, s.imageName())
	closeAll(l.trees...)
	closeAll(l.hosts...)
	closeAll(l.spec.Of)
	if err != nil {
		s.e.crash(startFailed)
		l.takeBack()
		s.startFailed(err)
		return err
	}
	s.begin(l)
	return nil
}

// begin notes that the container runs.
func (s *supervisor) begin(l *launching) {
	closeAll(l.adopt.Stdout, l.adopt.Stderr)
	s.run = l.run
	s.commands.touched.Add(1)
	if err := l.parked.Close(); err != nil {
		s.e.o.Logger.Warn("descriptors of a start cannot be closed", "container", s.id, "op", "start", "err", err)
	}
	s.enter(inStarted)
	s.forgetSessions()
	s.sent = nil
	attributes, restarts := s.startAttributes(), restartNote{Count: s.st.Restarts.Count, Delay: s.st.Restarts.Delay}
	s.st = state{State: s.st.State, Run: *l.note, Restarts: restarts}
	s.examine()
	s.save()
	s.e.crash(startWritten)
	s.watchOOM()
	if s.toKeep() {
		s.keepStarted()
	}
	s.sayPlaces(actConnect)
	s.say(actStart, attributes...)
}

// toKeep tells whether the record does not say yet what a start that has succeeded makes it say.
func (s *supervisor) toKeep() bool {
	return !s.rec.Started || s.rec.Stopped || !slices.Equal(s.rec.Endpoints, s.st.Run.Endpoints)
}

// keepStarted makes the record say that a start has succeeded: the container is there to stay.
func (s *supervisor) keepStarted() {
	rec := *s.rec
	rec.Started, rec.Provisional, rec.Stopped, rec.Endpoints = true, false, false, s.st.Run.Endpoints
	if err := s.keepSoon(&rec); err != nil {
		s.failed("start", fmt.Errorf("the container runs, and its record cannot be written: %w", err))
	}
	s.e.crash(startKept)
}

// startFailed shows the failure of a start in the state: Docker's 125, 126 or 127 and the reason.
func (s *supervisor) startFailed(err error) {
	if s.e.ctx.Err() != nil {
		return // the next daemon undoes what the attempt left
	}
	kind := kindOfErrno(err)
	s.st.Attempt, s.st.Then, s.st.Error = nil, "", err.Error()
	if kind != Interrupted {
		s.st.Exit = &Exit{Code: kind.ExitCode(), At: time.Now().Round(0)}
		s.st.Finished = s.st.Exit.At
	}
	s.save()
	if s.st.State == Created || s.st.State == Exited { // it was called off for a start by hand
		s.tellWaiters()
	}
}

// settle waits until a process that the monitor has and that will not run is gone, so that nothing is written into the
// container's directory any more, and has the monitor forget it.
func (s *supervisor) settle(pidfd *os.File, note *runNote) {
	_ = unix.PidfdSendSignal(int(pidfd.Fd()), unix.SIGKILL, nil, 0) // it may have ended
	for {
		if x, ok := s.deaths.take(); ok {
			if x.Session == "" && x.Started.Equal(note.Started) {
				break
			}
			continue
		}
		select {
		case <-s.e.ctx.Done():
			return
		case <-s.deaths.ready:
		}
	}
	s.forget()
}

func (s *supervisor) forget() {
	if err := s.e.o.Monitor.Forget(s.e.ctx, s.id); err != nil && s.e.ctx.Err() == nil {
		s.e.o.Logger.Error("the monitor does not forget a container", "container", s.id, "op", "forget", "err", err)
	}
}

func (s *supervisor) removeGroup(g group) {
	if err := g.Remove(s.e.ctx); err != nil && s.e.ctx.Err() == nil {
		s.e.o.Logger.Warn("a cgroup cannot be removed", "container", s.id, "op", "remove", "err", err)
	}
}
