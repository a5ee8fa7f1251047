package monitor

import "sync"

// feed is a channel without a bound: put never waits, so that the goroutine which reads the socket never waits for
// whoever consumes events (who may itself be waiting for an answer which that goroutine must read).
type feed[T any] struct {
	mu    sync.Mutex
	queue []T
	more  chan struct{} // capacity 1: queue is not empty
	out   chan T
	stop  chan struct{}
	done  chan struct{}
}

func newFeed[T any]() *feed[T] {
	f := &feed[T]{more: make(chan struct{}, 1), out: make(chan T), stop: make(chan struct{}), done: make(chan struct{})}
	go f.run()
	return f
}

func (f *feed[T]) put(v T) {
	f.mu.Lock()
	f.queue = append(f.queue, v)
	f.mu.Unlock()
	select {
	case f.more <- struct{}{}:
	default:
	}
}

func (f *feed[T]) run() {
	defer close(f.done)
	defer close(f.out)
	for {
		f.mu.Lock()
		batch := f.queue
		f.queue = nil
		f.mu.Unlock()
		for _, v := range batch {
			select {
			case f.out <- v:
			case <-f.stop:
				return
			}
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-f.more:
		case <-f.stop:
			return
		}
	}
}

func (f *feed[T]) close() {
	close(f.stop)
	<-f.done
}
