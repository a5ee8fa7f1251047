package journal

import (
	"errors"
	"io"
	"os"
	"slices"
)

// Reader shows a journal as one file that grows.
type Reader struct {
	j    *Journal
	held []*segment // in order, oldest first; all of them kept open
	gone int64      // bytes of what it has let go of
	uid  *uint32    // whose view it is; nil: it shows all
}

// extra is how many segments a reader keeps beside those of the ring. One that is open for months lets go of its
// beginning.
const extra = 16

// NewReader opens a view that begins with the oldest event there is.
func (j *Journal) NewReader() (*Reader, error) { return j.newReader(nil) }

func (j *Journal) newReader(uid *uint32) (*Reader, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, os.ErrClosed
	}
	r := &Reader{j: j, uid: uid}
	for _, s := range j.segments {
		r.hold(s)
	}
	j.readers[r] = struct{}{}
	return r, nil
}

// hold adds a segment to the reader's. Called with the journal's lock held.
func (r *Reader) hold(s *segment) {
	s.users++
	r.held = append(r.held, s)
	for len(r.held) > r.j.o.Segments+extra {
		r.gone += r.length(r.held[0])
		r.held[0].drop()
		r.held = r.held[1:]
	}
}

// Size is how many bytes can be read now. It never gets less.
func (r *Reader) Size() int64 {
	r.j.mu.Lock()
	defer r.j.mu.Unlock()
	if len(r.held) == 0 {
		return 0
	}
	n := r.gone
	for _, s := range r.held {
		n += r.length(s)
	}
	return n
}

// ReadAt reads whole bytes of events from an offset on.
func (r *Reader) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("journal: negative offset")
	}
	type part struct {
		s     *segment
		spans []span
	}
	r.j.mu.Lock()
	if len(r.held) == 0 {
		r.j.mu.Unlock()
		return 0, os.ErrClosed
	}
	if off -= r.gone; off < 0 {
		r.j.mu.Unlock()
		return 0, errors.New("journal: these events are gone")
	}
	parts := make([]part, len(r.held))
	for i, s := range r.held {
		s.users++
		parts[i] = part{s, slices.Clone(r.parts(s))}
	}
	r.j.mu.Unlock()
	defer func() {
		r.j.mu.Lock()
		defer r.j.mu.Unlock()
		for _, p := range parts {
			p.s.drop()
		}
	}()

	n := 0
	for _, p := range parts {
		m, rest, err := readSpans(p.s.file, p.spans, b[n:], off)
		n, off = n+m, rest
		if err != nil || n == len(b) {
			return n, err
		}
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
	delete(r.j.readers, r)
	return nil
}
