package engine

import "sync"

// mailbox is a queue without a bound: whoever puts something in never waits for the supervisor that takes it out.
type mailbox[T any] struct {
	mu     sync.Mutex
	items  []T
	closed bool
	ready  chan struct{} // has a token whenever items is not empty
}

func newMailbox[T any]() *mailbox[T] { return &mailbox[T]{ready: make(chan struct{}, 1)} }

// put adds an item. It answers false when nobody will ever take it.
func (m *mailbox[T]) put(item T) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.items = append(m.items, item)
	select {
	case m.ready <- struct{}{}:
	default:
	}
	return true
}

// take removes the oldest item.
func (m *mailbox[T]) take() (item T, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.items) == 0 {
		return item, false
	}
	item = m.items[0]
	var none T
	m.items[0] = none
	m.items = m.items[1:]
	if len(m.items) > 0 {
		select {
		case m.ready <- struct{}{}:
		default:
		}
	}
	return item, true
}

// close makes every later put answer false.
func (m *mailbox[T]) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
}
