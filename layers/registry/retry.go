package registry

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// The longest waits between attempts: hull's own, and what a server may ask for.
// Who asks for more gets an error at once instead, which says so.
const (
	maxBackoff    = 30 * time.Second
	maxRetryAfter = 60 * time.Second
)

// retrier decides whether a failed attempt is repeated, and waits before it is.
type retrier struct {
	c      *Client
	failed int // attempts in a row
	// stubborn repeats also what could not connect at all. A first question is
	// not: that a registry is down is to be known at once.
	stubborn bool
}

// next returns nil when it is time for another attempt, else the failure to give
// up with, which is err or the end of ctx.
func (t *retrier) next(ctx context.Context, err error) error {
	var e *Error
	if !errors.As(err, &e) || !e.temporary || e.dialing && !t.stubborn || t.failed >= t.c.opt.Retries {
		return err
	}
	wait := backoff(t.c.opt.Backoff, t.failed)
	if e.after > maxRetryAfter {
		e.Reason += ", and asks to wait for " + e.after.Round(time.Second).String()
		return e
	}
	wait = max(wait, e.after)
	t.failed++
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
		return err // that would only be "too late", a lesser answer than this
	}
	t.c.opt.Logger.Debug("trying again", "image", e.Reference, "op", e.Op, "attempt", t.failed, "wait", wait, "err", e)
	if t.c.repeat != nil {
		t.c.repeat(wait, e)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return e.with(ctx)
	}
}

// with is the Error of a wait that ended with its context.
func (e *Error) with(ctx context.Context) *Error {
	ended := *e
	ended.Err = context.Cause(ctx)
	ended.temporary = false
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		ended.Kind = Timeout
	} else {
		ended.Kind, ended.Reason = Cancelled, "it was cancelled"
	}
	return &ended
}

// backoff doubles with each failure, and varies by a quarter so that many who
// were thrown off together do not come back together.
func backoff(first time.Duration, failed int) time.Duration {
	wait := first
	for range failed {
		if wait < maxBackoff {
			wait = min(2*wait, maxBackoff)
		}
	}
	return wait - time.Duration(rand.Int64N(int64(wait)/4+1))
}
