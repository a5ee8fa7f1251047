package logs

import (
	"errors"
	"io"
	"os"
	"sort"
	"time"
)

// Cursor walks over a log's chunks, for following it and for times. It is for one goroutine.
type Cursor struct {
	log    *Log
	i      int // the part it is in
	part   *part
	offset int64  // in the part, of the next byte
	record int64  // how many records have been passed; the last of them is current
	now    record // that holds for offset
	start  bool   // record and now have been found
	cache  []byte // records from index number `record` on
}

// Cursor starts at an offset of the log; 0 is its beginning, Both().Size() its end.
func (l *Log) Cursor(offset int64) *Cursor { return &Cursor{log: l, i: -1, offset: offset} }

// Next reads the next chunk into buf, which must not be empty, and gives it; io.EOF at the end of what is there now:
// call again when it has grown.
func (c *Cursor) Next(buf []byte) (Chunk, error) {
	e, end, err := c.ahead()
	if err != nil {
		return Chunk{}, err
	}
	return c.chunk(&e, buf[:min(int64(len(buf)), end-c.offset)])
}

// Extent is a chunk that has not been read: the bytes of a segment's log from Offset on.
type Extent struct {
	File   *os.File // the segment's
	Stream Stream
	Offset int64 // in the file
	Length int64
}

// Extent gives the next chunk as a place in a segment's file, for who moves it without reading it and then calls Pass;
// io.EOF as Next.
func (c *Cursor) Extent() (Extent, error) {
	e, end, err := c.ahead()
	if err != nil {
		return Extent{}, err
	}
	return Extent{File: e.log, Stream: c.now.stream, Offset: c.offset, Length: end - c.offset}, nil
}

// Pass goes on behind the first n bytes of the chunk that Extent gave.
func (c *Cursor) Pass(n int64) { c.offset += n }

// Number is that of the segment it is in: it has passed all those before. -1 if there is none yet.
func (c *Cursor) Number() int64 {
	if c.part == nil {
		return -1
	}
	return c.part.Number
}

// ahead finds how far the bytes at the cursor are of one chunk.
func (c *Cursor) ahead() (extents, int64, error) {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.update(); err != nil {
		return extents{}, 0, err
	}
	if len(l.parts) == 0 {
		return extents{}, 0, io.EOF
	}
	if c.i < 0 {
		c.i = l.holding(c.offset)
		c.part = l.parts[c.i]
		c.offset -= c.part.start
	}
	for {
		e, end, err := c.within()
		if !errors.Is(err, io.EOF) || c.part.last {
			return e, end, err
		}
		c.i++
		c.part = l.parts[c.i]
		c.offset, c.record, c.now, c.start, c.cache = 0, 0, record{}, false, nil
		l.passed(c.i)
	}
}

// within is ahead in the part.
func (c *Cursor) within() (extents, int64, error) {
	e, err := c.part.refresh()
	if err != nil {
		return e, 0, err
	}
	if !c.start {
		c.seek(&e)
	}
	for {
		end := e.end
		following, ok, err := c.peek(&e)
		if err != nil {
			return e, 0, err
		}
		if ok {
			end = clamp(following.offset, c.now.offset, e.state.offset)
			following.offset = end
		}
		if c.offset < end {
			return e, end, nil
		}
		if !ok {
			return e, 0, io.EOF
		}
		c.now = following
		c.record++
		c.cache = c.cache[recordSize:]
	}
}

// seek begins at the last mark that is not beyond the offset; Next passes over the rest.
func (c *Cursor) seek(e *extents) {
	i := sort.Search(len(e.marks), func(i int) bool { return e.marks[i].offset > c.offset }) - 1
	if i > 0 { // the mark is the state before its record: that record is the next one to be passed
		c.record = int64(i) * markEvery
		c.now.offset = e.marks[i].offset
	}
	c.start = true
}

// peek gives the record after the current one.
func (c *Cursor) peek(e *extents) (r record, ok bool, err error) {
	if c.record >= e.records {
		return record{}, false, nil
	}
	if len(c.cache) == 0 {
		n := min(int64(markEvery), e.records-c.record) * recordSize
		if int64(cap(c.cache)) < n {
			c.cache = make([]byte, 0, markEvery*recordSize)
		}
		c.cache = c.cache[:n]
		if _, err := e.index.ReadAt(c.cache, c.record*recordSize); err != nil {
			c.cache = nil
			return record{}, false, err
		}
	}
	return decode(c.cache), true, nil
}

func (c *Cursor) chunk(e *extents, buf []byte) (Chunk, error) {
	n, err := e.log.ReadAt(buf, c.offset)
	if n == 0 {
		return Chunk{}, err
	}
	k := Chunk{Stream: c.now.stream, Offset: c.part.start + c.offset, Data: buf[:n]}
	if c.now.time != 0 {
		k.Time = time.Unix(0, c.now.time)
	}
	c.offset += int64(n)
	return k, nil
}
