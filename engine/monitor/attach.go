package monitor

import (
	"errors"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// status is the monitor's end of a status socket: of a session, or of somebody who is attached to a container.
type status struct {
	server    *server
	session   *session   // nil of who is attached, and once the session has ended
	container *container // attached to; nil for a session's, and once it is over
	key       string     // of who is attached, if the daemon wants to know when it leaves
	started   time.Time
	label     []byte
	hold      string    // what the daemon calls its duplicates, see keep
	keyboard  *keyboard // nil if nothing is typed
	file      *os.File
	src       *source
	supply    supply // of the log
	last      []byte // the last message, which the socket had no room for
}

func (s *server) attach(m *message) *Error {
	c := s.containers[m.ID]
	if c == nil {
		return &Error{Op: string(opAttach), ID: m.ID, Kind: NotFound, Sentence: "the container is not running"}
	}
	f := m.take(slotStatus)
	if f == nil {
		return &Error{Op: string(opAttach), ID: m.ID, Kind: Invalid, Sentence: "no status socket was given"}
	}
	t := &status{
		server: s, container: c, key: m.Key, started: m.Started, label: m.Payload, hold: m.Hold, file: f,
		supply: supply{given: []int64{m.Segment}, paced: m.Paced},
	}
	err := t.watch()
	if keys := m.take(slotKeys); keys != nil && err == nil {
		t.keyboard, err = c.addKeyboard(t, keys)
	}
	if err != nil {
		t.close()
		return asError(string(opAttach), err)
	}
	c.statuses = append(c.statuses, t)
	t.provide()
	c.pace()
	return nil
}

// watch begins to hear what the other end says, and that it is closed.
func (t *status) watch() error {
	src, err := t.server.loop.watch(rawFD(t.file), unix.EPOLLIN|unix.EPOLLRDHUP, t.ready)
	t.src = src
	return err
}

// ready hears that the other end is closed, or wants something, or has room again.
func (t *status) ready(events uint32) {
	if events&unix.EPOLLOUT != 0 && t.room() {
		return
	}
	if events&^unix.EPOLLOUT != 0 {
		t.listen()
	}
}

// listen hears all that has been said. At most so much: who talks without end must not keep the loop.
func (t *status) listen() {
	for range 64 {
		var b [StatusSize + 1]byte
		n, _, err := unix.Recvfrom(rawFD(t.file), b[:], unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			return
		case err != nil || n == 0:
			t.gone()
			return
		}
		t.heard(b[:n])
	}
}

// heard does what somebody who is attached asks for. What makes no sense is passed over: the other end is whose program
// it may be.
func (t *status) heard(b []byte) {
	c := t.container
	if c == nil {
		return
	}
	if w, ok := sizeOf(b); ok && c.pty != nil {
		_ = unix.IoctlSetWinsize(rawFD(c.pty), unix.TIOCSWINSZ, &w)
	}
	if n, ok := numberRead(b); ok {
		t.supply.reads(n)
		t.provide()
		c.pace()
	}
}

// gone is that nobody is at the other end any more.
func (t *status) gone() {
	if t.session != nil {
		t.session.hangUp()
		t.session.status = nil
	}
	c, key := t.container, t.key
	t.close()
	if c != nil && c.exit == nil { // a container that has ended has left them, not they it
		t.server.tellLeft(c, key)
	}
}

// left tells somebody who is attached to leave. The daemon has asked for that, so it is told, even if the container has
// ended meanwhile.
func (t *status) left() {
	c, key := t.container, t.key
	t.finish(Status{Left: true})
	t.server.tellLeft(c, key)
}

// tellLeft tells the daemon that somebody is attached no more.
func (s *server) tellLeft(c *container, key string) {
	if key != "" && s.daemon != nil {
		s.tellExit(Exit{ID: c.id, Session: key, At: time.Now()})
	}
}

// grew tells that there is more in the log. If the socket has no room, then the other end has an earlier such message
// yet to read, and looks at the log after that.
func (t *status) grew() {
	b := Status{Grew: true}.Encode()
	_ = unix.Sendto(rawFD(t.file), b[:], unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, nil)
}

// finish tells the exit, after all that there is of the log, and closes the socket.
func (t *status) finish(e Status) {
	b := e.Encode()
	t.provideAll()
	t.last = b[:]
	t.detach()
	if !t.room() {
		t.src.change(unix.EPOLLOUT | unix.EPOLLRDHUP)
	}
}

// room sends what the socket had no room for. It says whether that was all there is to send ever, and the socket closed.
func (t *status) room() (over bool) {
	switch {
	case !t.hand():
		return false
	case t.last == nil:
		t.src.change(unix.EPOLLIN | unix.EPOLLRDHUP)
		return false
	case !t.write(t.last):
		return false
	}
	t.close()
	return true
}

// write says whether there is nothing more to do: the message is sent, or nobody is there to read it.
func (t *status) write(b []byte) bool {
	err := unix.Sendto(rawFD(t.file), b, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, nil)
	return !errors.Is(err, unix.EAGAIN)
}

func (t *status) detach() {
	t.session = nil
	if c := t.container; c != nil {
		c.statuses = slices.DeleteFunc(c.statuses, func(o *status) bool { return o == t })
		t.container = nil
		t.server.tellOver(t.hold)
		c.pace()
	}
	t.keyboard.end()
	t.keyboard = nil
}

func (t *status) close() {
	if t == nil {
		return
	}
	t.detach()
	t.supply.close()
	t.src.drop()
	t.file = closed(t.file)
}
