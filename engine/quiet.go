package engine

import (
	"context"
	"sync/atomic"
	"time"
)

// quiet knows when a run has last begun or ended. Who clears up after runs, or makes something for later ones, waits until
// that is some time ago, so that those who wait for a start have the machine to themselves.
type quiet struct {
	stirred atomic.Pointer[time.Time] // nil if none has yet
	// after is how long nothing may have happened; most is how long that is waited for.
	after, most time.Duration
}

const (
	quietAfter = 50 * time.Millisecond
	// restless is less than a link of a network waits for the end of its namespace, before it is taken down by itself.
	restless = 500 * time.Millisecond
)

// stir says that a run begins or ends.
func (q *quiet) stir() {
	now := time.Now()
	q.stirred.Store(&now)
}

// wait waits until all is quiet, or has not been for too long, or ctx ends. It is true if there was something on hurry before.
func (q *quiet) wait(ctx context.Context, hurry <-chan struct{}) bool {
	most := time.Now().Add(q.most)
	for {
		last := q.stirred.Load()
		if last == nil {
			return false
		}
		left := min(q.after-time.Since(*last), time.Until(most))
		if left <= 0 {
			return false
		}
		select {
		case <-time.After(left):
		case <-hurry:
			return true
		case <-ctx.Done():
			return false
		}
	}
}
