package verb

import (
	"errors"

	"golang.org/x/sys/unix"

	"hull/engine/logs"
	"hull/engine/monitor"
)

// pourful is how much is moved at once.
const pourful = 1 << 20

// pour moves what can be read into a pipe, until the end or until nobody reads it. The kernel does it, without a copy
// through here, from pipes and from files of its own. From all else it does not: while it waits for a socket, a terminal
// or a server it has the pipe locked, and whoever reads the pipe waits for that so that no signal ends him.
func pour(from, pipe int) {
	if !spliceable(from) {
		_ = pump(from, func(b []byte) error { return writeAll(pipe, b) })
		return
	}
	for {
		n, err := unix.Splice(from, nil, pipe, nil, pourful, unix.SPLICE_F_MOVE)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN): // either may be shared with whoever made it so
			if ready(from) {
				await(pipe, unix.POLLOUT)
			} else {
				await(from, unix.POLLIN)
			}
		case errors.Is(err, unix.EINVAL): // not everything can be spliced
			_ = pump(from, func(b []byte) error { return writeAll(pipe, b) })
			return
		case err != nil || n == 0:
			return
		}
	}
}

// spliceable tells whether the kernel moves what a descriptor has without that.
func spliceable(fd int) bool {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return false
	}
	kind := st.Mode & unix.S_IFMT
	return kind == unix.S_IFIFO || kind == unix.S_IFREG && !slow(fd)
}

// follow prints what there is of the log.
func (s *running) follow() error {
	if s.cursor == nil {
		return nil
	}
	for s.stamps == nil && !s.reads {
		x, err := s.cursor.Extent()
		s.tellReading()
		if err != nil {
			return nil //nolint:nilerr // the end of what is there now; a log that cannot be read ends with the command
		}
		at := x.Offset
		n, err := unix.Sendfile(s.streamOf(x.Stream), number(x.File), &at, int(min(x.Length, pourful)))
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			await(s.streamOf(x.Stream), unix.POLLOUT)
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS): // a file that is appended to, for one
			s.reads = true
		case err != nil:
			return err
		case n == 0:
			return nil
		default:
			s.cursor.Pass(int64(n))
		}
	}
	return s.read()
}

// read prints what there is of the log by reading it.
func (s *running) read() error {
	buf := make([]byte, 64<<10)
	for {
		c, err := s.cursor.Next(buf)
		s.tellReading()
		if err != nil {
			return nil //nolint:nilerr // as in follow
		}
		data := c.Data
		if s.stamps != nil {
			data = s.stamps.stamp(c)
		}
		if err := writeAll(s.streamOf(c.Stream), data); err != nil {
			return err
		}
	}
}

// goesOn takes the log's next segment.
func (s *running) goesOn(more logs.Segment) {
	switch {
	case s.log == nil || s.cursor == nil:
		_ = more.Close()
		return
	case more.Number <= s.newest: // another monitor does not know what the one before has given
		_ = more.Close()
		_ = monitor.Reading(s.status, max(s.reading, s.cursor.Number()))
		return
	case more.Number > s.newest+1:
		s.complain("a part of the log was dropped before it could be printed, for the log is kept within its bounds (log_max, log_files)")
	}
	s.newest = more.Number
	s.log.Add(more)
}

// tellReading tells the monitor which segment is being read, when it is another: it gives the next ones then. That the
// monitor is gone is seen elsewhere.
func (s *running) tellReading() {
	if n := s.cursor.Number(); n > s.reading && s.status != 0 {
		s.reading = n
		_ = monitor.Reading(s.status, n)
	}
}

// streamOf is the helper's own descriptor for a stream.
func (s *running) streamOf(stream logs.Stream) int {
	if stream == logs.Stderr {
		return s.err
	}
	return s.out
}
