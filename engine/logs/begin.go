package logs

import (
	"bytes"
	"errors"
	"io"
	"time"
)

// Since is the offset of the first byte that came at a time or later; the log's end if none has. Times in the index
// need not rise, for a clock may be set back: the first that is late enough counts.
func (l *Log) Since(t time.Time) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.update(); err != nil {
		return 0, err
	}
	var end int64
	for _, p := range l.parts {
		e, err := p.refresh()
		if err != nil {
			return 0, err
		}
		at, found, err := e.since(t)
		if err != nil || found {
			return p.start + at, err
		}
		end = p.start + e.end
	}
	return end, nil
}

func (e *extents) since(t time.Time) (at int64, found bool, err error) {
	buf := window.Get().(*[windowSize]byte)
	defer window.Put(buf)
	for i := int64(0); i < e.records; {
		want := min(windowSize, (e.records-i)*recordSize)
		if _, err := e.index.ReadAt(buf[:want], i*recordSize); err != nil {
			return 0, false, err
		}
		for b := buf[:want]; len(b) > 0; b = b[recordSize:] {
			if r := decode(b); r.time >= t.UnixNano() && r.stream != sealed {
				return clamp(r.offset, 0, e.end), true, nil
			}
		}
		i += want / recordSize
	}
	return 0, false, nil
}

// Tail is the offset at which the last n lines begin. A last line without an end is one.
func (l *Log) Tail(n int) (int64, error) {
	v := l.Both()
	last, err := v.Size()
	if err != nil || n <= 0 {
		return last, err
	}
	buf := window.Get().(*[windowSize]byte)
	defer window.Put(buf)
	for end := last; end > 0; {
		at := max(0, end-windowSize)
		b := buf[:end-at]
		if _, err := v.readAt(b, at, false); errors.Is(err, ErrDropped) {
			return end, nil // there are no more lines
		} else if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if end == last { // the end of the last line begins none
			b = bytes.TrimSuffix(b, []byte("\n"))
		}
		for i := bytes.LastIndexByte(b, '\n'); i >= 0; i = bytes.LastIndexByte(b[:i], '\n') {
			if n--; n == 0 {
				return at + int64(i) + 1, nil
			}
		}
		end = at
	}
	return 0, nil
}
