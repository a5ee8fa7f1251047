package logs

import (
	"errors"
	"io"
	"os"
	"sort"
	"sync"
)

// windowSize is what is read at once of either file. It holds a whole number of records.
const windowSize = 64 << 10

var window = sync.Pool{New: func() any { return new([windowSize]byte) }}

// View is one reading of a log. It is an io.ReaderAt whose Size grows; bytes below a Size once given never change.
type View struct {
	log  *Log
	only Stream // streams means both
}

// Both is all output in its order.
func (l *Log) Both() *View { return &View{l, streams} }

// Only is the output of one stream.
func (l *Log) Only(s Stream) *View { return &View{l, s} }

// Size is the view's length now.
func (v *View) Size() (int64, error) {
	if v.only == streams {
		log, _ := v.log.Files()
		if log == nil {
			return 0, nil
		}
		return sizeOf(log)
	}
	e, err := v.log.refresh()
	if err != nil || e.log == nil {
		return 0, err
	}
	return e.size(v.only), nil
}

// ReadAt reads from the view; io.EOF at its end, which may grow later.
func (v *View) ReadAt(p []byte, off int64) (int, error) {
	if v.only == streams {
		log, _ := v.log.Files()
		if log == nil {
			return 0, io.EOF
		}
		return log.ReadAt(p, off)
	}
	e, err := v.log.refresh()
	if err != nil {
		return 0, err
	}
	if e.log == nil || off < 0 || off >= e.size(v.only) {
		return 0, io.EOF
	}
	return e.read(p, v.only, off)
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
