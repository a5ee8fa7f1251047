package journal

import (
	"errors"
	"io"
	"os"
)

// Reader shows a journal as one file that grows.
type Reader struct {
	j    *Journal
	held []*segment // in order, oldest first; all of them kept open
}

// NewReader opens a view that begins with the oldest event there is.
func (j *Journal) NewReader() (*Reader, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, os.ErrClosed
	}
	r := &Reader{j: j}
	r.hold(j.segments[0])
	r.extend()
	return r, nil
}

// hold and extend are called with the journal's lock held.
func (r *Reader) hold(s *segment) {
	s.users++
	r.held = append(r.held, s)
}

func (r *Reader) extend() {
	for s := r.held[len(r.held)-1].next; s != nil; s = s.next {
		if s.users == 0 { // a reader that nobody asked for a long time: what lies between is gone
			continue
		}
		r.hold(s)
	}
}

// Size is how many bytes can be read now. It never gets less.
func (r *Reader) Size() int64 {
	r.j.mu.Lock()
	defer r.j.mu.Unlock()
	if len(r.held) == 0 {
		return 0
	}
	r.extend()
	n := int64(0)
	for _, s := range r.held {
		n += s.size
	}
	return n
}

// ReadAt reads whole bytes of events from an offset on.
func (r *Reader) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("journal: negative offset")
	}
	type part struct {
		s    *segment
		size int64
	}
	r.j.mu.Lock()
	if len(r.held) == 0 {
		r.j.mu.Unlock()
		return 0, os.ErrClosed
	}
	r.extend()
	parts := make([]part, len(r.held))
	for i, s := range r.held {
		parts[i] = part{s, s.size}
	}
	r.j.mu.Unlock()

	n := 0
	for _, p := range parts {
		if off >= p.size {
			off -= p.size
			continue
		}
		k := min(int64(len(b)-n), p.size-off)
		m, err := p.s.file.ReadAt(b[n:n+int(k)], off)
		n += m
		if err != nil && !(errors.Is(err, io.EOF) && int64(m) == k) {
			return n, err
		}
		if n == len(b) {
			return n, nil
		}
		off = 0
	}
	return n, io.EOF
}

// Close lets go of what the reader holds.
func (r *Reader) Close() error {
	r.j.mu.Lock()
	defer r.j.mu.Unlock()
	for _, s := range r.held {
		s.drop()
	}
	r.held = nil
	return nil
}
