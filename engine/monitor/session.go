package monitor

import (
	"errors"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// session is a further process in a container: an exec.
type session struct {
	id, key string
	pid     int
	report  bool
	pidfd   *os.File
	status  *status
}

func (s *server) session(m *message) *Error {
	pidfd := m.files[slotPidfd]
	if pidfd == nil || !isChild(pidfd) {
		return &Error{Op: string(opSession), ID: m.ID, Kind: Invalid, Sentence: "the session's process is not the monitor's child"}
	}
	t := &session{id: m.ID, key: m.Key, pid: m.PID, report: m.Report, pidfd: m.take(slotPidfd)}
	if f := m.take(slotStatus); f != nil {
		t.status = &status{server: s, file: f}
	}
	started := time.Now()
	s.sessions[t] = true
	_, err := s.onExit(t.pidfd, func(e ended) { s.sessionEnded(t, exitOf(t.id, e.code, e.status, started)) })
	if err != nil {
		delete(s.sessions, t)
		closed(t.pidfd)
		return asError(string(opSession), err)
	}
	return nil
}

func (s *server) sessionEnded(t *session, e Exit) {
	delete(s.sessions, t)
	closed(t.pidfd)
	if t.status != nil {
		t.status.finish(e.status())
	}
	if t.report && s.daemon != nil {
		e.Session = t.key
		s.tellExit(e)
	}
}

// status is the monitor's end of a status socket.
type status struct {
	server    *server
	container *container // attached to; nil for a session's
	file      *os.File
	src       *source
	last      []byte // the exit, which the socket had no room for
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
	t := &status{server: s, container: c, file: f}
	src, err := s.loop.watch(rawFD(f), unix.EPOLLIN|unix.EPOLLRDHUP, t.ready)
	if err != nil {
		closed(f)
		return asError(string(opAttach), err)
	}
	t.src = src
	c.statuses = append(c.statuses, t)
	return nil
}

// ready hears that the other end is closed, or wants the container's input closed, or has room again.
func (t *status) ready(events uint32) {
	if events&unix.EPOLLOUT != 0 && t.last != nil && t.write(t.last) {
		t.close()
		return
	}
	if events&^unix.EPOLLOUT == 0 {
		return
	}
	var b [StatusSize + 1]byte
	n, _, err := unix.Recvfrom(rawFD(t.file), b[:], unix.MSG_DONTWAIT)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
	case err != nil || n == 0:
		t.close()
	case isEndInput(b[:n]) && t.container != nil:
		t.container.stdin = closed(t.container.stdin)
	}
}

// grew tells that there is more in the log. If the socket has no room, then the other end has an earlier such message
// yet to read, and looks at the log after that.
func (t *status) grew() {
	b := Status{Grew: true}.Encode()
	_ = unix.Sendto(rawFD(t.file), b[:], unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, nil)
}

// finish tells the exit and closes the socket.
func (t *status) finish(e Status) {
	b := e.Encode()
	if t.write(b[:]) {
		t.close()
		return
	}
	t.last = b[:]
	t.detach()
	const events = unix.EPOLLOUT | unix.EPOLLRDHUP
	if t.src != nil {
		t.src.change(events)
		return
	}
	src, err := t.server.loop.watch(rawFD(t.file), events, t.ready)
	if err != nil {
		t.close()
		return
	}
	t.src = src
}

// write says whether there is nothing more to do: the message is sent, or nobody is there to read it.
func (t *status) write(b []byte) bool {
	err := unix.Sendto(rawFD(t.file), b, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, nil)
	return !errors.Is(err, unix.EAGAIN)
}

func (t *status) detach() {
	if c := t.container; c != nil {
		c.statuses = slices.DeleteFunc(c.statuses, func(o *status) bool { return o == t })
		t.container = nil
	}
}

func (t *status) close() {
	t.detach()
	t.src.drop()
	t.file = closed(t.file)
}
