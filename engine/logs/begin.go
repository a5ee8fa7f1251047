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
	e, err := l.refresh()
	if err != nil || e.log == nil {
		return 0, err
	}
	buf := window.Get().(*[windowSize]byte)
	defer window.Put(buf)
	for i := int64(0); i < e.records; {
		want := min(windowSize, (e.records-i)*recordSize)
		if _, err := e.index.ReadAt(buf[:want], i*recordSize); err != nil {
			return 0, err
		}
		for b := buf[:want]; len(b) > 0; b = b[recordSize:] {
			if r := decode(b); r.time >= t.UnixNano() {
				return clamp(r.offset, 0, e.end), nil
			}
		}
		i += want / recordSize
	}
	return e.end, nil
}

// Tail is the offset at which the last n lines begin. A last line without an end is one.
func (l *Log) Tail(n int) (int64, error) {
	e, err := l.refresh()
	if err != nil || e.log == nil {
		return 0, err
	}
	if n <= 0 {
		return e.end, nil
	}
	buf := window.Get().(*[windowSize]byte)
	defer window.Put(buf)
	for end := e.end; end > 0; {
		at := max(0, end-windowSize)
		b := buf[:end-at]
		if _, err := e.log.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if end == e.end { // the end of the last line begins none
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
