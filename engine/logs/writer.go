package logs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// sameRecord is how long bytes of one stream go on under one record: times are as fine as this, and a container that
// writes short lines fast does not make an index longer than its log.
const sameRecord = int64(time.Millisecond)

// Writer appends to a log. It is for one goroutine.
type Writer struct {
	log, index *os.File
	size       int64 // of the log
	records    int64 // whole ones in the index
	last       record
	fresh      bool // nothing has been written by this Writer
}

// Create opens a container's log for writing, and makes it if it is not there.
func Create(dir string) (*Writer, error) {
	const flags = os.O_RDWR | os.O_CREATE | unix.O_NOFOLLOW
	index, err := os.OpenFile(filepath.Join(dir, IndexFile), flags, 0o600) // first: who sees a log finds its index
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(dir, LogFile), flags, 0o600)
	if err != nil {
		return nil, errors.Join(err, index.Close())
	}
	w := &Writer{log: log, index: index, fresh: true}
	if err := w.resume(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// resume finds where to go on. Records beyond the log's end, which a machine that lost its power can leave, would claim
// bytes that are still to come: they are cut off.
func (w *Writer) resume() error {
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
		if decode(b[:]).offset <= w.size {
			break
		}
	}
	if w.records < whole {
		return w.index.Truncate(w.records * recordSize)
	}
	return nil
}

// Close closes the files.
func (w *Writer) Close() error { return errors.Join(w.log.Close(), w.index.Close()) }

// Splice moves up to limit bytes from a pipe to the log, without waiting. io.EOF: all its writers are gone.
// unix.EAGAIN: it is empty. An *os.SyscallError: the log cannot be written, and the bytes are still in the pipe.
func (w *Writer) Splice(s Stream, pipe int, limit int) (int64, error) {
	if err := w.mark(s); err != nil {
		return 0, err
	}
	n, err := splice(pipe, rawFD(w.log), &w.size, limit)
	if err != nil {
		return 0, err
	}
	return n, nil
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
			return 0, fmt.Errorf("the log could not be written: %w", os.NewSyscallError("splice", err))
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

// rawFD gives a file's number; File.Fd would make it blocking.
func rawFD(f *os.File) int {
	n := -1
	if c, err := f.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { n = int(fd) })
	}
	return n
}
