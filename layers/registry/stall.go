package registry

import (
	"context"
	"errors"
	"io"
	"time"
)

// errStalled is the cause of a context that ended for want of progress.
var errStalled = errors.New("no progress")

// errTooLarge is a body longer than its cap.
var errTooLarge = errors.New("too large")

// watch ends an attempt that makes no progress: its context is cancelled if the
// network brings nothing for as long as stall. It is armed while something is
// waited for, so that neither a slow disk nor a slow keychain counts.
type watch struct {
	timer *time.Timer
	stall time.Duration
}

type watchKey struct{}

// watched makes a context for one attempt. The caller calls stop when the
// attempt is over, its body read.
func watched(ctx context.Context, stall time.Duration) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{stall: stall}
	w.timer = time.AfterFunc(stall, func() { cancel(errStalled) })
	return context.WithValue(ctx, watchKey{}, w), func() {
		w.timer.Stop()
		cancel(context.Canceled)
	}
}

// progress tells the context's watch that something came.
func progress(ctx context.Context) {
	if w, ok := ctx.Value(watchKey{}).(*watch); ok {
		w.timer.Reset(w.stall)
	}
}

// slow is how many times longer a registry may think about what it has been
// sent: it verifies and moves gigabytes before it answers.
const slow = 10

// patience gives the context's watch the time that an answer to an upload takes.
func patience(ctx context.Context) {
	if w, ok := ctx.Value(watchKey{}).(*watch); ok {
		w.timer.Reset(slow * w.stall)
	}
}

// pause stops the context's watch until the function it returns is called.
func pause(ctx context.Context) (resume func()) {
	w, ok := ctx.Value(watchKey{}).(*watch)
	if !ok {
		return func() {}
	}
	w.timer.Stop()
	return func() { w.timer.Reset(w.stall) }
}

// watchedReader counts each byte read as progress.
type watchedReader struct {
	ctx context.Context //nolint:containedctx // a reader's context is its request's
	r   io.Reader
}

func (w watchedReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if n > 0 {
		progress(w.ctx)
	}
	return n, err
}

// readAll reads a body of at most limit bytes.
func readAll(ctx context.Context, r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(watchedReader{ctx, r}, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, errTooLarge
	}
	return body, nil
}
