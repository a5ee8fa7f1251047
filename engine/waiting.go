package engine

import (
	"context"
	"errors"
	"time"
)

// waiting is a start that was accepted while the image is being pulled, or while its files are copied into volumes.
type waiting struct {
	ctx    context.Context //nolint:containedctx // of the wait, which this is
	cancel context.CancelFunc
	board  *boarding   // who is to be attached when it starts
	answer func(error) // nil when the caller was answered "accepted" already
	filled bool        // the volumes are, or are being
	why    origin
}

// waitForImage accepts a start and goes on with it when the pull has ended.
func (s *supervisor) waitForImage(b *boarding, answer func(error)) {
	set := s.set
	s.wait(b, answer, func(ctx context.Context) error { return s.e.waitForPull(ctx, set) })
}

// wait accepts a start and goes on with it when what it waits for is there. A caller that is to be attached is answered
// then, any other at once.
func (s *supervisor) wait(b *boarding, answer func(error), wait func(ctx context.Context) error) {
	if s.rec.Provisional { // accepted: a crash must not undo the creation any more
		rec := *s.rec
		rec.Provisional = false
		if err := s.keep(&rec, s.set); err != nil {
			answer(err)
			return
		}
	}
	ctx, cancel := context.WithCancel(s.e.ctx)
	w := &waiting{ctx: ctx, cancel: cancel, board: b, why: s.why}
	if b == nil {
		defer answer(nil)
	} else {
		w.answer = answer
	}
	s.waiting = w
	s.enter(inAwait)
	s.st.Error, s.st.Exit = "", nil
	s.save()
	s.goOn(w, wait)
}

// goOn waits beside the supervisor, and then goes on with the start.
func (s *supervisor) goOn(w *waiting, wait func(ctx context.Context) error) {
	s.e.spawn(func() {
		err := wait(w.ctx)
		s.later(w.why, func() { s.waitedFor(w, err) })
	})
}

// waitForPull returns when an image is there, or will not be. A pull may be followed by another at once.
func (e *Engine) waitForPull(ctx context.Context, set values) error {
	for {
		if err := e.o.Roots.Wait(ctx, set.text("image")); err != nil {
			return err
		}
		if _, err := e.image(set); !errors.Is(err, ErrPulling) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// waitedFor goes on with a start that has waited.
func (s *supervisor) waitedFor(w *waiting, err error) {
	if s.waiting != w {
		return // called off
	}
	var image *Image
	var fill func(context.Context) error
	if err == nil {
		image, err = s.findImage()
	}
	if err == nil && !w.filled {
		fill, err = s.filling(image)
	}
	if fill != nil && err == nil {
		w.filled = true
		s.goOn(w, fill)
		return
	}
	if err == nil {
		err = s.launch(image, w.board) // by the table, Waiting may become running
	}
	if err != nil {
		s.giveUp(err, "start")
		return
	}
	s.waiting = nil
	w.cancel()
	if w.answer != nil {
		w.answer(nil)
	}
}

// giveUp ends a wait for an image without a start. With an op, it is a failure to be shown.
func (s *supervisor) giveUp(err error, op string) {
	w := s.waiting
	s.waiting = nil
	if s.rec.Started {
		s.enter(inGaveIn)
	} else {
		s.enter(inGaveUp)
	}
	waiters := s.waiters
	s.waiters = nil
	if op != "" {
		s.startFailed(err)
		s.say(actError, "op", op, "error", err.Error())
	} else {
		s.st.Restarts.Due = time.Time{}
		s.save()
	}
	if w != nil {
		w.cancel()
		if w.answer != nil {
			w.answer(err)
		}
	}
	for _, tell := range waiters {
		tell(s.lastExit(), nil)
	}
	if op != "" && s.st.Restarts.pending() {
		s.restartFailed(err)
	}
}
