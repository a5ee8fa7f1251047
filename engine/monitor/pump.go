package monitor

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/logs"
)

const (
	moveAtOnce = 1 << 20 // bytes of one stream before the others have their turn
	pipeful    = 64 << 10
)

// stream is one output of a container: a pipe's read end or a terminal's master.
type stream struct {
	server    *server
	container *container
	journal   *journal
	kind      logs.Stream
	file      *os.File
	terminal  bool
	src       *source

	since        time.Time // when lately began
	lately       int64     // bytes that have come since
	wide, narrow bool      // its pipe has been made larger, or could not be
}

func (s *server) addStream(c *container, file *os.File, kind logs.Stream, terminal bool) error {
	t := &stream{server: s, container: c, journal: c.journal, kind: kind, file: file, terminal: terminal}
	ready := t.pipeReady
	if terminal {
		ready = t.terminalReady
	}
	src, err := s.loop.watch(rawFD(file), t.events(), ready)
	if err != nil {
		return err
	}
	t.src = src
	t.journal.users++
	c.streams = append(c.streams, t)
	return nil
}

// events are what is to be told of it: nothing but its end while the container is held.
func (t *stream) events() (events uint32) {
	if !t.container.held {
		events = unix.EPOLLIN
	}
	if t.terminal { // one that nobody has open is hung up for as long as that lasts, and a process may open it again
		events |= unix.EPOLLET
	}
	return events
}

// listen has what is there told again.
func (t *stream) listen() {
	if t.file != nil {
		t.src.change(t.events())
	}
}

func (t *stream) pipeReady(events uint32) {
	if events&unix.EPOLLIN == 0 && t.waiting() == 0 { // all writers are gone
		t.end()
		return
	}
	n, err := t.move(rawFD(t.file), moveAtOnce)
	if errors.Is(err, io.EOF) {
		t.end()
		return
	}
	if t.hurries(n) {
		t.server.rest.add(t)
	}
}

// waiting is how many bytes are in the pipe.
func (t *stream) waiting() int { return waitingIn(rawFD(t.file)) }

func waitingIn(pipe int) int {
	n, err := unix.IoctlGetInt(pipe, unix.TIOCINQ) // FIONREAD
	if err != nil {
		return 0
	}
	return n
}

// move moves bytes from a pipe to the log, or away if the log cannot be written. io.EOF and unix.EAGAIN as Splice.
func (t *stream) move(pipe, limit int) (int64, error) {
	if t.journal.writer != nil {
		n, err := t.journal.writer.Splice(t.kind, pipe, limit)
		if err == nil {
			t.server.moved(t.journal)
			t.container.grew()
			return n, nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, unix.EAGAIN) {
			return 0, err
		}
		t.server.trouble(t.journal, t.container.id, err)
	}
	return logs.Drop(t.server.null, pipe, limit)
}

// drain moves what the process left when it ended: what is in the pipe now, and no more, for whoever else still holds it
// may go on for ever. Those bytes come later.
func (t *stream) drain() {
	if t.terminal {
		t.drainTerminal()
		return
	}
	fd := rawFD(t.file)
	for left := t.waiting(); left > 0; {
		n, err := t.move(fd, left)
		if err != nil {
			break
		}
		left -= int(n)
	}
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if _, err := unix.Poll(p, 0); err == nil && p[0].Revents&(unix.POLLIN|unix.POLLHUP) == unix.POLLHUP {
		t.end()
	}
}

func (t *stream) end() {
	if t.file == nil {
		return
	}
	t.src.drop()
	_ = t.file.Close()
	t.file = nil
	t.server.closeJournal(t.journal)
}

// trouble reports a log that cannot be written, once a run.
func (s *server) trouble(j *journal, id string, err error) {
	if j.reported {
		return
	}
	j.reported = true
	s.report(id, "the container's log cannot be written, output is being lost: "+err.Error())
}

// report tells the daemon what is wrong with a container.
func (s *server) report(id, text string) {
	s.log.Error(text, "container", id)
	if s.daemon != nil {
		s.daemon.peer.send(func() *message { return &message{Op: opTrouble, ID: id, Text: text} })
	}
}
