package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Recreate gives a container a new writable layer, from the image that its name points to now; its name, settings,
// volumes and logs stay. One that runs is stopped before and started after.
//
// It becomes one that was never started: what is fixed by the first start can change again.
func (e *Engine) Recreate(ctx context.Context, id string) error {
	done, why := make(chan error, 1), e.origin(ctx)
	work := func() { done <- e.recreateNow(withOrigin(e.ctx, why), id) } //nolint:contextcheck // accepted work goes on in the engine's context
	if !e.spawn(work) {
		return fail("recreate", "", Interrupted, "hull's daemon is ending; try again when it is back")
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fail("recreate", "", Interrupted, "the wait for recreate was interrupted; it goes on")
	}
}

func (e *Engine) recreateNow(ctx context.Context, id string) error {
	s, err := e.lookup("recreate", id)
	if err != nil {
		return err
	}
	running := false
	check := func(s *supervisor, answer func(error)) {
		running = s.st.State.Alive() || s.st.State == Restarting
		if running && s.set.flag("auto_remove") {
			answer(fail("recreate", s.id, Busy, "the container %s is removed when it ends, so there is nothing to recreate; write false into config/auto_remove first", s.rec.Name))
			return
		}
		image, err := s.newImage()
		if err == nil {
			s.unhold(image)
		}
		answer(err)
	}
	if err := e.ask(ctx, "recreate", s.id, check); err != nil {
		return err // before it is stopped for nothing
	}
	if running {
		if err := e.Stop(ctx, s.id, -1); err != nil {
			return err
		}
	}
	if err := e.ask(ctx, "recreate", s.id, func(s *supervisor, answer func(error)) { answer(s.recreate()) }); err != nil {
		return err
	}
	if running {
		return e.Start(ctx, s.id)
	}
	return nil
}

// newImage finds and holds the image that the container would be made from now.
func (s *supervisor) newImage() (*Image, error) {
	if s.st.State == Dead {
		return nil, fail("recreate", s.id, Invalid, "the container %s is dead: %s", s.rec.Name, s.st.Error)
	}
	name := s.set.text("image")
	if name == "" {
		return nil, fail("recreate", s.id, Invalid, "the container %s has no image; write one into config/image", s.rec.Name)
	}
	image, err := s.e.image(s.set)
	switch {
	case errors.Is(err, ErrPulling):
		return nil, fail("recreate", s.id, Busy, "the image %s is being pulled; try again when it is here (images/%s/wait)", name, name)
	case err != nil:
		return nil, err
	}
	return image, s.e.o.Roots.Hold(image.ID, s.id)
}

// unhold releases an image that did not take the place of the container's.
func (s *supervisor) unhold(image *Image) { s.swapHold(image, s.rec.Image) }

// recreate is the change itself. The record says first that the layer is to go: a crash after that is followed by
// finishing it, a crash before by the container as it was.
func (s *supervisor) recreate() error {
	if s.st.State.Alive() || s.st.State == Waiting || s.st.State == Restarting {
		return fail("recreate", s.id, Busy, "the container %s is %s; stop it first", s.rec.Name, s.st.State)
	}
	image, err := s.newImage()
	if err != nil {
		return err
	}
	before := s.rec.Image
	rec := *s.rec
	rec.Image, rec.Started, rec.Recreate = image, false, true
	if err := s.keep(&rec, s.set); err != nil {
		s.unhold(image)
		return err
	}
	s.swapHold(before, image)
	s.e.crash(recreateNoted)
	s.view.forget() // it shows the old layer
	if err := s.freshLayer(); err != nil {
		s.failed("recreate", err)
		return err
	}
	s.say(actRecreate)
	return nil
}

// freshLayer finishes a recreation: it puts an empty layer in the place of the container's, and forgets its runs.
func (s *supervisor) freshLayer() error {
	fresh, disk := filepath.Join(s.dir, diskDir+".new"), filepath.Join(s.dir, diskDir)
	err := os.Mkdir(fresh, 0o700)
	if errors.Is(err, os.ErrExist) { // of a recreation that was interrupted: it may be the old one already
		if err = s.trashLayer(fresh); err == nil {
			err = os.Mkdir(fresh, 0o700)
		}
	}
	if err == nil {
		err = unix.Renameat2(unix.AT_FDCWD, fresh, unix.AT_FDCWD, disk, unix.RENAME_EXCHANGE)
	}
	if err == nil {
		s.e.crash(recreateSwapped)
		err = s.trashLayer(fresh)
	}
	if err != nil {
		return fail("recreate", s.id, kindOfErrno(err), "the container's layer cannot be replaced: %w; recreate it again", err)
	}
	s.commands.touched.Add(1)
	s.st = state{State: Created}
	s.save()
	rec := *s.rec
	rec.Recreate = false
	return s.keep(&rec, s.set)
}

// trashLayer has a layer deleted in the background.
func (s *supervisor) trashLayer(path string) error {
	trash := filepath.Join(s.e.dir, gonePrefix+newID())
	if err := os.Rename(path, trash); err != nil {
		return err
	}
	s.e.trash.put(trash)
	return nil
}
