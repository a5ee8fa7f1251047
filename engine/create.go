package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hull/engine/internal/sys"
)

// Create makes a container, and starts it if asked. With Start, it fails with the start's error and then leaves nothing;
// it is accepted while the image is still being pulled, and the container is Waiting.
func (e *Engine) Create(ctx context.Context, n New) (*Container, error) {
	c, _, err := e.create(ctx, n, nil)
	return c, err
}

// Run makes a container and starts it with the caller attached before its first instruction, so that nothing of a
// short one is missed. It waits while the image is being pulled.
func (e *Engine) Run(ctx context.Context, n New, o AttachOptions) (*Container, *Attachment, error) {
	n.Start = true
	return e.create(ctx, n, &boarding{options: o, id: make(chan string, 1)})
}

// created is what a creation ends with.
type created struct {
	container *Container
	err       error
}

// create does the work in the engine's own time: a caller that is interrupted leaves a whole container or none.
func (e *Engine) create(ctx context.Context, n New, b *boarding) (*Container, *Attachment, error) {
	result := make(chan created, 1)
	why := e.origin(ctx)
	work := func() { //nolint:contextcheck // accepted work goes on in the engine's context
		c, err := e.createNow(why, n, b)
		result <- created{c, err}
	}
	if !e.spawn(work) {
		return nil, nil, fail("create", "", Interrupted, "hull's daemon is ending; try again when it is back")
	}
	select {
	case r := <-result:
		if r.err != nil {
			b.close()
			return nil, nil, r.err
		}
		return r.container, b.take(), nil
	case <-ctx.Done():
		e.abandon(why, b, result) //nolint:contextcheck // it is undone in the engine's context
		return nil, nil, fail("create", "", Interrupted, "the wait for the creation was interrupted; it goes on")
	}
}

// abandon undoes what Run's caller no longer waits for: a command that somebody was to see from its beginning is not to
// run unseen. A Create's goes on.
func (e *Engine) abandon(why origin, b *boarding, result <-chan created) {
	if b == nil {
		return
	}
	e.spawn(func() {
		select {
		case id := <-b.id:
			if err := e.Remove(withOrigin(e.ctx, why), id, true); err != nil && KindOf(err) != Removed && e.ctx.Err() == nil {
				e.o.Logger.Error("an abandoned container cannot be removed", "container", id, "op", "run", "err", err)
			}
			<-result
		case <-result:
		}
		b.close()
	})
}

// createNow goes through a creation's steps.
func (e *Engine) createNow(why origin, n New, b *boarding) (*Container, error) {
	rec, err := e.newRecord(n)
	if err != nil {
		return nil, err
	}
	s, err := e.commit(rec)
	if err != nil {
		if rec.Image != nil {
			e.o.Roots.Release(rec.Image.ID, rec.ID)
		}
		e.index.cancel(rec.Name, rec.ID)
		return nil, err
	}
	reply := make(chan error, 1)
	if n.Start { // before anybody can find it and do something else with it
		s.later(why, func() { s.firstStart(b, func(err error) { reply <- err }) })
	} else {
		reply <- nil
	}
	e.index.list(s, rec.Name)
	s.because(why, func() { s.say(actCreate) })
	e.crash(createListed)
	if b != nil {
		b.id <- s.id
	}
	if !e.spawn(s.supervise) {
		close(s.done)
		return nil, s.endedError("create")
	}
	select {
	case err = <-reply:
	case <-s.done:
		select {
		case err = <-reply:
		default:
			err = s.endedError("create")
		}
	}
	if err != nil {
		return nil, s.mark("create", err)
	}
	return s.snapshot.Load(), nil
}

// firstStart is the start of a container that is to be there only if it starts.
func (s *supervisor) firstStart(b *boarding, answer func(error)) {
	s.start(b, func(err error) {
		if err != nil && !s.gone && s.e.ctx.Err() == nil {
			if r := s.remove(); r != nil {
				s.e.o.Logger.Error("a container that did not start cannot be removed", "container", s.id, "op", "create", "err", r)
			}
		}
		answer(err)
	})
}

// asLines ends what a flag or a path gave as a line, as echo would have, so that an echo >> adds another.
func asLines(value string) string {
	if value == "" || strings.HasSuffix(value, "\n") {
		return value
	}
	return value + "\n"
}

// newRecord checks what is asked for, and reserves name and ID.
func (e *Engine) newRecord(n New) (*record, error) {
	raw := map[string]string{}
	for name, value := range n.Settings {
		raw[name] = asLines(value)
	}
	if n.Image != "" {
		raw["image"] = asLines(n.Image)
	}
	set, err := e.checkSettings(n.Owner, raw, nil)
	if err != nil {
		return nil, err
	}
	if n.Name != "" {
		if err := checkName("create", n.Name); err != nil {
			return nil, err
		}
		if !e.index.reserve(n.Name) {
			return nil, fail("create", "", Exists, "there is a container %s already", n.Name)
		}
	}
	for n.Name == "" {
		if name := e.NewName(); e.index.reserve(name) {
			n.Name = name
		}
	}
	rec := &record{
		Version: recordVersion, ID: e.index.newID(), Name: n.Name, Owner: n.Owner,
		Created: time.Now().Round(0), Settings: raw, Provisional: n.Start,
	}
	if err := e.firstImage(rec, set, n.Start); err != nil {
		e.index.cancel(rec.Name, rec.ID)
		return nil, err
	}
	return rec, nil
}

// firstImage finds the image at once if it is there, so that it is what its name points to now. What is to be started
// needs one, or one under way; anything else may have it later.
func (e *Engine) firstImage(rec *record, set values, start bool) error {
	if set.text("image") == "" {
		if start {
			return fail("create", rec.ID, Invalid, "a container needs an image to be started")
		}
		return nil
	}
	image, err := e.image(set)
	switch {
	case errors.Is(err, ErrPulling):
		return nil
	case err != nil && !start && KindOf(err) == NotFound:
		return nil
	case err != nil:
		return err
	}
	if err := e.o.Roots.Hold(image.ID, rec.ID); err != nil {
		return err
	}
	rec.Image = image
	return nil
}

// image finds the image that settings name.
func (e *Engine) image(set values) (*Image, error) {
	return e.o.Roots.Image(e.ctx, set.text("image"), set.text("platform"))
}

// commit makes the container's directory beside the others, and then by one rename one of them. A container that is to
// be there only if it starts is made durable by its start.
func (e *Engine) commit(rec *record) (*supervisor, error) {
	s, err := e.newSupervisor(rec)
	if err != nil {
		return nil, err
	}
	staging := filepath.Join(e.dir, newPrefix+rec.ID)
	if err := e.stage(rec, staging); err != nil {
		if r := os.RemoveAll(staging); r != nil {
			e.o.Logger.Warn("what a failed creation left cannot be deleted", "container", rec.ID, "op", "create", "err", r)
		}
		return nil, fail("create", rec.ID, kindOfErrno(err), "the container's directory cannot be made: %w", err)
	}
	e.crash(createStaged)
	if err := os.Rename(staging, s.dir); err != nil {
		return nil, errorsJoin(fail("create", rec.ID, kindOfErrno(err), "the container's directory cannot be made: %w", err),
			os.RemoveAll(staging))
	}
	if !rec.Provisional {
		if err := sys.SyncDir(e.dir); err != nil {
			return nil, errorsJoin(fail("create", rec.ID, kindOfErrno(err), "the container cannot be made durable: %w", err),
				os.RemoveAll(s.dir))
		}
	}
	e.crash(createCommitted)
	s.publish()
	return s, nil
}

func (e *Engine) stage(rec *record, dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(dir, diskDir), 0o700); err != nil {
		return err
	}
	return rec.write(dir, !rec.Provisional)
}
