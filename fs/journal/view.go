package journal

import (
	"bytes"
	"encoding/json"
	"io"
)

// span is a part of a segment, of whole lines.
type span struct{ from, to int64 }

// NewView opens a reader that shows a user the lines of what is theirs and of what they have asked for. Its offsets are
// those of these lines alone.
func (j *Journal) NewView(uid uint32) (*Reader, error) { return j.newReader(&uid) }

// sees lists what a user may see of a segment. Called with the journal's lock held. What nobody has asked about yet is
// read once; after that each line that is added is noted.
func (s *segment) sees(uid uint32) []span {
	if s.views == nil {
		s.views = map[uint32][]span{}
		b := make([]byte, s.size)
		n, err := s.file.ReadAt(b, 0)
		if err != nil && int64(n) < s.size { // what cannot be read is nobody's
			b = b[:n]
		}
		at := int64(0)
		for line := range bytes.Lines(b) {
			s.note(line, at)
			at += int64(len(line))
		}
	}
	return s.views[uid]
}

// note adds a line to what those see whom it is about.
func (s *segment) note(line []byte, at int64) {
	if s.views == nil {
		return
	}
	var about struct {
		UID   *uint32 `json:"uid"`
		Owner uint32  `json:"owner"`
	}
	if json.Unmarshal(line, &about) != nil {
		return
	}
	to := at + int64(len(line))
	add := func(uid uint32) {
		l := s.views[uid]
		if n := len(l); n > 0 && l[n-1].to == at {
			l[n-1].to = to
		} else {
			s.views[uid] = append(l, span{at, to})
		}
	}
	if about.Owner != 0 {
		add(about.Owner)
	}
	if about.UID != nil && *about.UID != 0 && *about.UID != about.Owner {
		add(*about.UID)
	}
}

// parts is what the reader shows of a segment. Called with the journal's lock held.
func (r *Reader) parts(s *segment) []span {
	if r.uid != nil {
		return s.sees(*r.uid)
	}
	return []span{{0, s.size}}
}

// length is how many bytes the reader shows of a segment. Called with the journal's lock held.
func (r *Reader) length(s *segment) int64 {
	n := int64(0)
	for _, p := range r.parts(s) {
		n += p.to - p.from
	}
	return n
}

// readSpans reads from an offset in parts of a file that are shown one behind the other; it answers what is left of the
// offset, which is 0 once something was read.
func readSpans(f io.ReaderAt, spans []span, b []byte, off int64) (n int, rest int64, err error) {
	for _, p := range spans {
		size := p.to - p.from
		if off >= size {
			off -= size
			continue
		}
		k := min(int64(len(b)-n), size-off)
		m, err := f.ReadAt(b[n:n+int(k)], p.from+off)
		n += m
		if int64(m) < k {
			return n, 0, err
		}
		if off = 0; n == len(b) {
			break
		}
	}
	return n, off, nil
}
