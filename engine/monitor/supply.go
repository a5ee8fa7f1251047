package monitor

import (
	"errors"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"

	"hull/engine/logs"
)

// mostGiven is how many segments of a log without a bound somebody has before it has read them.
const mostGiven = 5

// supply is what an attached socket was given of its container's log. Its other end may not open the files by itself, and
// has to have them before they are removed. It gets them as they are begun, but no more than a log's worth that it has
// not read: who has stopped reading must not hold the disk.
type supply struct {
	given []int64        // the numbers of what it has, from the one that it reads on
	queue []logs.Segment // of those, what the socket has had no room for
	paced bool
}

// reads notes which segment is being read. It need not be among those that this monitor has given: an earlier one may
// have given it. What makes no sense is passed over, for the other end is anybody's program.
func (s *supply) reads(number int64) {
	if number <= s.given[0] || number > s.last() {
		return
	}
	later := s.given[slices.IndexFunc(s.given, func(n int64) bool { return n >= number }):]
	if later[0] == number {
		later = later[1:]
	}
	s.given = append([]int64{number}, later...)
}

func (s *supply) last() int64 { return s.given[len(s.given)-1] }

// sent is the last that has gone out, from where another monitor goes on. It may give again what was given by this one
// and is not known to it: the other end knows the numbers, and says which it reads.
func (s *supply) sent() int64 {
	if i := len(s.given) - 1 - len(s.queue); i >= 0 {
		return s.given[i]
	}
	return 0
}

func (s *supply) close() {
	for _, x := range s.queue {
		_ = x.Close()
	}
	s.queue = nil
}

// full tells whether it has to read before it is given more.
func (t *status) full() bool { return len(t.supply.given) > t.container.journal.most() }

// provide gives what has come to the log. Who is paced gets all of it: that it is full holds the container.
func (t *status) provide() {
	for (t.supply.paced || !t.full()) && t.next() {
	}
	t.hand()
}

// provideAll gives all that there is, for the last time.
func (t *status) provideAll() {
	for t.next() {
	}
}

// next opens one more segment, the oldest that there is after what was given; false if there is none.
func (t *status) next() bool {
	if t.container == nil {
		return false
	}
	j := t.container.journal
	if j.writer == nil {
		return false
	}
	for n := max(t.supply.last()+1, j.writer.Oldest()); n <= j.writer.Segment().Number; n++ {
		x, err := logs.OpenSegment(j.dir, n)
		switch {
		case err == nil:
			t.supply.given = append(t.supply.given, n)
			t.supply.queue = append(t.supply.queue, x)
			return true
		case !errors.Is(err, fs.ErrNotExist):
			t.server.log.Warn("a part of a log cannot be given to who follows it", "container", t.container.id, "err", err)
			return false
		}
	}
	return false
}

// hand sends what was opened. It says whether nothing is left of that.
func (t *status) hand() bool {
	for len(t.supply.queue) > 0 {
		x := t.supply.queue[0]
		b := Status{More: true, Number: x.Number}.Encode()
		err := unix.Sendmsg(rawFD(t.file), b[:], unix.UnixRights(rawFD(x.Log), rawFD(x.Index)), nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			t.src.change(unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP)
			return false
		}
		_ = x.Close() // it is sent, or nobody is there to get it
		t.supply.queue = t.supply.queue[1:]
	}
	return true
}

// pace has the container wait for whoever is to miss nothing of its output and is a whole log behind, and go on when it
// is not, or is gone.
func (c *container) pace() {
	held := slices.ContainsFunc(c.statuses, func(t *status) bool { return t.supply.paced && t.full() })
	if held == c.held {
		return
	}
	c.held = held
	for _, t := range c.streams {
		t.listen()
	}
}
