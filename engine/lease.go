package engine

import "sync"

// lease is an id range in use: by a run, by the mount of a root file system, or by both at once. It goes back when the
// last of them has dropped it.
type lease struct {
	ranges *ranges
	first  uint32

	mu   sync.Mutex
	refs int
}

// lease takes a range, if it can the wanted one.
func (r *ranges) lease(wanted uint32) (*lease, bool) {
	first, ok := r.take(wanted)
	if !ok {
		return nil, false
	}
	return &lease{ranges: r, first: first, refs: 1}, true
}

// hold adds a user; false if the range has gone back already.
func (l *lease) hold() bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refs == 0 {
		return false
	}
	l.refs++
	return true
}

// drop takes a user off.
func (l *lease) drop() {
	if l == nil { // the host's users are nobody's to take
		return
	}
	l.mu.Lock()
	l.refs--
	last := l.refs == 0
	l.mu.Unlock()
	if last {
		l.ranges.free(l.first)
	}
}
