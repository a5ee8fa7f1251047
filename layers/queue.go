package layers

import (
	"sync"
	"time"
)

// queue tells events in order from one goroutine of its own, so that who
// causes one never waits for who listens.
type queue struct {
	mu      sync.Mutex
	pending []Event
	wake    chan struct{}
	done    chan struct{}
	closed  bool
}

func (q *queue) start(tell func(Event)) {
	q.wake = make(chan struct{}, 1)
	q.done = make(chan struct{})
	go func() {
		defer close(q.done)
		for range q.wake {
			for _, e := range q.take() {
				tell(e)
			}
		}
	}()
}

func (q *queue) take() []Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	events := q.pending
	q.pending = nil
	return events
}

func (q *queue) add(e Event) {
	e.At = time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.pending = append(q.pending, e)
	select {
	case q.wake <- struct{}{}:
	default: // it is awake, and takes this one too
	}
}

// close tells what is pending and ends the goroutine.
func (q *queue) close() {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.wake)
	}
	q.mu.Unlock()
	<-q.done
}
