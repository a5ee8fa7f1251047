package logs

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// sameRecord is how long bytes of one stream go on under one record: times are as fine as this, and a container that
	// writes short lines fast does not make an index longer than its log.
	sameRecord = int64(time.Millisecond)

	// beyond is how much more a segment may have when a new one cannot be made, before that is tried again.
	beyond = 64 << 10
)

// Bounds are how much of a log is kept.
type Bounds struct {
	Max   int64 // how many bytes a segment has at most, its index included; none if it is 0 or less
	Files int   // how many segments there are at most; as many as there are if it is 0 or less
}

// oldest is the number of the first segment that is kept, if the last is this one.
func (b Bounds) oldest(last int64) int64 {
	if b.Files <= 0 {
		return 0
	}
	return max(0, last-int64(b.Files)+1)
}

// Writer appends to a log. It is for one goroutine.
type Writer struct {
	dir        string
	bounds     Bounds
	number     int64 // of the segment
	log, index *os.File
	size       int64 // of the log
	errors     int64 // of that, the bytes of Stderr
	records    int64 // whole ones in the index
	last       record
	fresh      bool  // nothing has been written to this segment by this Writer
	most       int64 // how much the segment may have before another is tried to be made, if one could not be
}

// Create opens a container's log for writing, and makes it if it is not there.
func Create(dir string, b Bounds) (*Writer, error) {
	all, err := numbers(dir)
	if err != nil {
		return nil, err
	}
	w := &Writer{dir: dir, bounds: b}
	if len(all) > 0 {
		w.number = all[len(all)-1]
	}
	if w.log, w.index, err = w.open(w.number); err != nil {
		return nil, err
	}
	if err := w.resume(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (w *Writer) open(number int64) (log, index *os.File, err error) {
	const flags = os.O_RDWR | os.O_CREATE | unix.O_NOFOLLOW
	// The index is first: who sees a log finds its index.
	if index, err = os.OpenFile(filepath.Join(w.dir, nameOf(IndexFile, number)), flags, 0o600); err != nil {
		return nil, nil, err
	}
	if log, err = os.OpenFile(filepath.Join(w.dir, nameOf(LogFile, number)), flags, 0o600); err != nil {
		return nil, nil, errors.Join(err, index.Close())
	}
	return log, index, nil
}

// resume finds where to go on. Records beyond the log's end, which a machine that lost its power can leave, would claim
// bytes that are still to come: they are cut off, and so is a seal behind which no segment is left.
func (w *Writer) resume() error {
	w.fresh = true
	st, err := w.log.Stat()
	if err != nil {
		return err
	}
	w.size = st.Size()
	if st, err = w.index.Stat(); err != nil {
		return err
	}
	whole := st.Size() / recordSize
	for w.records = whole; w.records > 0; w.records-- {
		var b [recordSize]byte
		if _, err := w.index.ReadAt(b[:], (w.records-1)*recordSize); err != nil {
			return err
		}
		if r := decode(b[:]); r.offset <= w.size && r.stream != sealed {
			break
		}
	}
	if w.records < whole {
		if err := w.index.Truncate(w.records * recordSize); err != nil {
			return err
		}
	}
	e, err := (&part{Segment: w.Segment(), last: true, length: -1}).refresh()
	w.errors = e.size(Stderr)
	return err
}

// Close closes the files.
func (w *Writer) Close() error { return errors.Join(w.log.Close(), w.index.Close()) }

// Segment is the one that is being written. Its files are the Writer's.
func (w *Writer) Segment() Segment { return Segment{w.number, w.log, w.index} }

// Bound sets other bounds.
func (w *Writer) Bound(b Bounds) { w.bounds, w.most = b, 0 }

// Oldest is the number of the oldest segment that is to be kept.
func (w *Writer) Oldest() int64 { return w.bounds.oldest(w.number) }

// Splice moves up to limit bytes from a pipe to the log, without waiting, to a new segment if the last has no room. To
// call Trim then is the caller's, who may not want to wait for it.
// io.EOF: all its writers are gone. unix.EAGAIN: it is empty. An *os.SyscallError: the log cannot be written, and the
// bytes are still in the pipe.
func (w *Writer) Splice(s Stream, pipe int, limit int) (int64, error) {
	if w.bounds.Max > 0 {
		if w.room() <= 0 {
			w.rotate()
		}
		limit = int(min(int64(limit), w.room()))
	}
	if err := w.mark(s); err != nil {
		return 0, err
	}
	n, err := splice(pipe, rawFD(w.log), &w.size, limit)
	if err != nil {
		return 0, err
	}
	if s == Stderr {
		w.errors += n
	}
	return n, nil
}

// room is how much may still come into the segment.
func (w *Writer) room() int64 {
	return max(w.bounds.Max, w.most) - w.used()
}

func (w *Writer) used() int64 { return w.size + w.records*recordSize }

// rotate begins a new segment. If that cannot be, the old one goes on, beyond its bound: nothing is lost for that.
func (w *Writer) rotate() {
	log, index, err := w.open(w.number + 1)
	if err != nil {
		w.most = w.used() + beyond
		return
	}
	seal := record{time: w.errors, stream: sealed, offset: w.size}.encode()
	_, _ = unix.Pwrite(rawFD(w.index), seal[:], w.records*recordSize) // without a seal the streams are counted
	_ = w.Close()
	w.log, w.index = log, index
	w.number, w.size, w.errors, w.records, w.most, w.fresh = w.number+1, 0, 0, 0, 0, true
}

// mark appends a record, if the last one does not do for the bytes that come.
func (w *Writer) mark(s Stream) error {
	r := record{time: time.Now().UnixNano(), stream: s, offset: w.size}
	if age := r.time - w.last.time; !w.fresh && w.last.stream == s && age >= 0 && age < sameRecord {
		return nil
	}
	b := r.encode()
	n, err := unix.Pwrite(rawFD(w.index), b[:], w.records*recordSize)
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Pwrite(rawFD(w.index), b[:], w.records*recordSize)
	}
	if err != nil {
		return os.NewSyscallError("pwrite", err)
	}
	if n < recordSize { // a full disk took part of it; readers pass over it, the next record is written onto it
		return os.NewSyscallError("pwrite", unix.ENOSPC)
	}
	w.records++
	w.last, w.fresh = r, false
	return nil
}

// Drop throws up to limit bytes of a pipe away: what is done with output when its log cannot be written, because the
// container must go on. Its errors are io.EOF and unix.EAGAIN as Splice's.
func Drop(null *os.File, pipe int, limit int) (int64, error) {
	return splice(pipe, rawFD(null), nil, limit)
}

func splice(from, to int, offset *int64, limit int) (int64, error) {
	for {
		n, err := unix.Splice(from, nil, to, offset, limit, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return 0, unix.EAGAIN
		case err != nil:
			return 0, os.NewSyscallError("splice", err)
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}
