package logs

import (
	"errors"
	"io"
	"os"
	"sort"
)

// markEvery is how many records lie between two marks: 24 bytes of memory for each 16 KiB of index.
const markEvery = 1024

// part is a segment as a Log reads it. The Log's lock guards it.
type part struct {
	Segment
	start   int64 // the offset, in the whole log, of its first byte
	last    bool  // none follows, as far as is known: it may grow
	dropped bool  // its files are closed

	marks   []mark // marks[i] is the state before record i*markEvery
	state   mark   // before the last record read, whose extent may still grow
	tail    record // that record; a log begins with one implied, of Stdout at 0
	records int64  // how many have been read

	length  int64 // of one that is not the last; -1 until it is known
	sums    [streams]int64
	counted bool // sums are known, of one that is not the last
}

// mark is what a reader must know to begin at a record: how many bytes of each stream lie before it.
type mark struct {
	sums   [streams]int64
	offset int64
}

// extents is the state of a segment at one instant: what has been read of its index, and how far the last extent goes.
type extents struct {
	log, index *os.File
	marks      []mark
	state      mark
	tail       record
	records    int64
	end        int64 // of the tail's extent
}

// size is how many bytes of a stream there are.
func (e *extents) size(s Stream) int64 {
	n := e.state.sums[s]
	if e.tail.stream == s {
		n += e.end - e.state.offset
	}
	return n
}

// refresh reads what the index has grown by. The order makes it right while a writer writes: see the package comment.
// The size is taken once more after the index: no true record lies beyond that.
func (p *part) refresh() (extents, error) {
	if p.dropped {
		return extents{}, ErrDropped
	}
	end, err := sizeOf(p.Log)
	if err != nil {
		return extents{}, err
	}
	buf := window.Get().(*[windowSize]byte)
	defer window.Put(buf)
	for p.tail.stream != sealed {
		n, err := p.Index.ReadAt(buf[:], p.records*recordSize)
		if err != nil && !errors.Is(err, io.EOF) {
			return extents{}, err
		}
		n -= n % recordSize
		if n == 0 {
			break
		}
		limit, err := sizeOf(p.Log)
		if err != nil {
			return extents{}, err
		}
		p.scan(buf[:n], limit)
	}
	return extents{p.Log, p.Index, p.marks, p.state, p.tail, p.records, max(end, p.state.offset)}, nil
}

// scan counts records; limit is a size of the log, taken after they were read.
func (p *part) scan(b []byte, limit int64) {
	for ; len(b) > 0 && p.tail.stream != sealed; b = b[recordSize:] {
		r := decode(b)
		r.offset = clamp(r.offset, p.state.offset, limit)
		if p.tail.stream < streams {
			p.state.sums[p.tail.stream] += r.offset - p.state.offset
		}
		p.state.offset, p.tail = r.offset, r
		if p.records%markEvery == 0 {
			p.marks = append(p.marks, p.state)
		}
		p.records++
	}
}

// clamp makes a broken index an index of something: offsets that rise, within the log.
func clamp(offset, low, high int64) int64 { return max(low, min(offset, high)) }

// size is its length now.
func (p *part) size() (int64, error) {
	if p.length >= 0 {
		return p.length, nil
	}
	n, err := sizeOf(p.Log)
	if err == nil && !p.last {
		p.length = n
	}
	return n, err
}

// sizeFor is how many bytes of a stream it has. Of one that is finished the seal says it.
func (p *part) sizeFor(s Stream) (int64, error) {
	if p.counted {
		return p.sums[s], nil
	}
	if !p.last && p.readSeal() {
		return p.sums[s], nil
	}
	e, err := p.refresh()
	if err != nil {
		return 0, err
	}
	if !p.last {
		p.sums, p.counted = [streams]int64{e.size(Stdout), e.size(Stderr)}, true
	}
	return e.size(s), nil
}

// readSeal takes the sums from the seal, if there is a believable one.
func (p *part) readSeal() bool {
	length, err := p.size()
	if err != nil || p.dropped {
		return false
	}
	r, ok := lastRecord(p.Index)
	if !ok || r.stream != sealed || r.offset != length || r.time < 0 || r.time > length {
		return false
	}
	p.sums, p.counted = [streams]int64{length - r.time, r.time}, true
	return true
}

// lastRecord reads the last whole record of an index.
func lastRecord(index *os.File) (record, bool) {
	n, err := sizeOf(index)
	if err != nil || n < recordSize {
		return record{}, false
	}
	var b [recordSize]byte
	if _, err := index.ReadAt(b[:], (n/recordSize-1)*recordSize); err != nil {
		return record{}, false
	}
	return decode(b[:]), true
}

// read copies the bytes of one stream from an offset within it.
func (e *extents) read(p []byte, s Stream, off int64) (n int, err error) {
	buf := window.Get().(*[windowSize]byte)
	defer window.Put(buf)
	src := source{file: e.log, buf: buf}
	err = e.walk(s, off, func(from, to int64) (bool, error) {
		piece := p[n:min(len(p), n+int(min(to-from, int64(len(p)))))]
		k, err := src.copy(piece, from)
		n += k
		return n < len(p), err
	})
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// walk calls visit with each extent of the log that is of stream s, beginning with the byte at off of the stream.
func (e *extents) walk(s Stream, off int64, visit func(from, to int64) (bool, error)) error {
	// The last mark that is not beyond off. What lies before the first is of the implied record.
	i := sort.Search(len(e.marks), func(i int) bool { return e.marks[i].sums[s] > off }) - 1
	var at mark
	var next int64 // the record that ends the extent which begins at `at`
	stream := Stdout
	buf := window.Get().(*[windowSize]byte)
	defer window.Put(buf)
	if i >= 0 {
		at, next = e.marks[i], int64(i)*markEvery+1
		if _, err := e.index.ReadAt(buf[:recordSize], (next-1)*recordSize); err != nil {
			return err
		}
		stream = decode(buf[:]).stream
	}
	passed := at.sums[s]
	from := at.offset
	step := func(to int64, following Stream) (bool, error) {
		more, err := true, error(nil)
		if stream == s {
			skip := min(max(0, off-passed), to-from)
			passed += to - from
			if from+skip < to {
				more, err = visit(from+skip, to)
			}
		}
		from, stream = to, following
		return more, err
	}
	for next < e.records {
		want := min(int64(windowSize), (e.records-next)*recordSize)
		if _, err := e.index.ReadAt(buf[:want], next*recordSize); err != nil {
			return err
		}
		for b := buf[:want]; len(b) > 0; b = b[recordSize:] {
			r := decode(b)
			if more, err := step(clamp(r.offset, from, e.state.offset), r.stream); !more || err != nil {
				return err
			}
		}
		next += want / recordSize
	}
	_, err := step(e.end, streams)
	return err
}

// source reads a file by windows, so that many short pieces near each other cost one system call.
type source struct {
	file *os.File
	buf  *[windowSize]byte
	at   int64
	n    int
}

func (s *source) copy(p []byte, off int64) (int, error) {
	if len(p) >= windowSize/4 {
		return s.file.ReadAt(p, off)
	}
	if off < s.at || off+int64(len(p)) > s.at+int64(s.n) {
		n, err := s.file.ReadAt(s.buf[:], off)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		s.at, s.n = off, n
	}
	n := copy(p, s.buf[off-s.at:s.n])
	if n < len(p) {
		return n, io.ErrUnexpectedEOF
	}
	return n, nil
}
