package logs

import (
	"errors"
	"io"
	"sync"
)

// windowSize is what is read at once of either file. It holds a whole number of records.
const windowSize = 64 << 10

var window = sync.Pool{New: func() any { return new([windowSize]byte) }}

// View is one reading of a log. It is an io.ReaderAt whose Size grows; bytes below a Size once given never change, though
// they may be ErrDropped.
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
	l := v.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if v.only == streams {
		return l.size()
	}
	if err := l.update(); err != nil {
		return 0, err
	}
	var sum int64
	for _, p := range l.parts {
		n, err := p.sizeFor(v.only)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// Number is that of the log's first segment, see Log.Number.
func (v *View) Number() int64 { return v.log.Number() }

// ReadAt reads from the view; io.EOF at its end, which may grow later.
func (v *View) ReadAt(b []byte, off int64) (n int, err error) {
	return v.readAt(b, off, true)
}

// readAt is ReadAt; on says whether who reads goes on from there, and will not come back.
func (v *View) readAt(b []byte, off int64, on bool) (n int, err error) {
	if off < 0 {
		return 0, io.EOF
	}
	for n < len(b) {
		piece, err := v.stretch(off+int64(n), on)
		if err != nil {
			return n, v.end(n, err)
		}
		k, err := piece.read(b[n:])
		n += k
		if err != nil && !errors.Is(err, io.EOF) || k == 0 {
			return n, v.end(n, err)
		}
	}
	return n, nil
}

// end is how a reading ends: what has been read counts, and what is wrong is told to the next one.
func (v *View) end(n int, err error) error {
	if err == nil || n > 0 {
		return io.EOF
	}
	return err
}

// stretch is what can be read of one segment, from an offset in it on.
type stretch struct {
	e      extents
	only   Stream
	offset int64 // of the stream, or in the log
	length int64
}

// stretch finds the segment in which an offset lies; io.EOF if it lies in none.
func (v *View) stretch(off int64, on bool) (stretch, error) {
	l := v.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.update(); err != nil {
		return stretch{}, err
	}
	var before int64
	for i, p := range l.parts {
		n, err := p.lengthFor(v.only)
		if err != nil {
			return stretch{}, err
		}
		if off >= before+n {
			before += n
			continue
		}
		if p.dropped {
			return stretch{}, ErrDropped
		}
		if on {
			l.passed(i)
		}
		x := stretch{e: extents{log: p.Log}, only: v.only, offset: off - before, length: n - (off - before)}
		if v.only != streams {
			x.e, err = p.refresh()
		}
		return x, err
	}
	return stretch{}, io.EOF
}

// lengthFor is how much it has of a stream, or of both.
func (p *part) lengthFor(s Stream) (int64, error) {
	if s == streams {
		return p.size()
	}
	return p.sizeFor(s)
}

func (x *stretch) read(b []byte) (int, error) {
	b = b[:min(int64(len(b)), x.length)]
	if x.only == streams {
		return x.e.log.ReadAt(b, x.offset)
	}
	return x.e.read(b, x.only, x.offset)
}
