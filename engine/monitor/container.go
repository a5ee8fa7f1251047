package monitor

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/logs"
)

// container is one run of a container, from Adopt to Forget.
type container struct {
	server   *server
	id, dir  string
	pid      int
	started  time.Time
	volatile bool
	orphan   bool    // another monitor's child
	daemon   *daemon // that adopted it
	journal  *journal
	streams  []*stream

	pidfd, pty, stdin, oom *os.File
	between                *os.File // see addTerminal; nil without a terminal
	oomBefore              int64
	src                    *source // of the pidfd

	held     bool  // its outputs are not listened to, for one who reads them is too far behind
	exit     *Exit // it has ended and is reaped
	recorded bool  // and that is on disk
	answerAt time.Time
	statuses []*status
	stalled  []*keyboard // their terminal has no room
	room     *source     // watches for some; nil if nobody is stalled
}

func (s *server) adopt(d *daemon, m *message) *Error {
	if m.ID == "" || m.Dir == "" || m.PID <= 0 || m.files[slotPidfd] == nil {
		return &Error{Op: string(opAdopt), ID: m.ID, Kind: Invalid, Sentence: "a container was given to the monitor without its id, directory or process"}
	}
	if old := s.containers[m.ID]; old != nil {
		if !old.recorded {
			return &Error{Op: string(opAdopt), ID: m.ID, Kind: Exists, Sentence: "the container is running already"}
		}
		s.forget(old)
	}
	orphan := !isChild(m.files[slotPidfd])
	if orphan && !m.Again {
		return &Error{Op: string(opAdopt), ID: m.ID, Kind: Invalid, Sentence: "the container's process is not the monitor's child"}
	}
	c := &container{
		server: s, id: m.ID, dir: m.Dir, pid: m.PID, started: m.Started, volatile: m.Volatile, daemon: d,
		orphan: orphan, exit: m.Exit, recorded: m.Exit != nil,
		pidfd: m.take(slotPidfd), stdin: m.take(slotStdin), oom: m.take(slotOOM),
	}
	if m.Again { // its record may be there
		c.oomBefore = m.OOMBefore
	} else {
		c.oomBefore = oomKills(c.oom)
		if err := reserve(c.dir); err != nil { // it is tried again at the exit
			s.log.Warn("there may be no room for a container's exit record", "container", c.id, "err", err)
		}
	}
	c.journal = s.openJournal(c.id, c.dir, m.bounds())
	s.containers[c.id] = c
	if err := c.connect(m); err != nil {
		c.drop()
		return asError(string(opAdopt), err)
	}
	return nil
}

// connect begins to watch the container's outputs and its process.
func (c *container) connect(m *message) error {
	s := c.server
	if c.pty = m.take(slotPty); c.pty != nil {
		if err := c.addTerminal(m.take(slotBetween)); err != nil {
			return err
		}
	}
	for at, kind := range map[slot]logs.Stream{slotStdout: logs.Stdout, slotStderr: logs.Stderr} {
		if f := m.take(at); f != nil {
			if err := s.addStream(c, f, kind, false); err != nil {
				_ = f.Close()
				return err
			}
		}
	}
	if c.exit != nil {
		return nil
	}
	src, err := s.onEnd(c.pidfd, c.orphan, c.ended)
	c.src = src
	return err
}

func duplicate(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(uintptr(rawFD(f)), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// ended goes the way of an exit: output drained, record written, then told.
func (c *container) ended(e ended) {
	exit := c.endOf(e)
	c.exit = &exit
	for _, t := range slices.Clone(c.streams) {
		t.drain()
	}
	c.stdin = closed(c.stdin)
	c.known(writeExit(c.dir, exit))
}

// known tells the exit: it is on disk, or the disk would not have it.
func (c *container) known(err error) {
	s := c.server
	switch {
	case err != nil:
		s.report(c.id, "the container's exit could not be recorded: "+err.Error())
	case !c.volatile:
		s.syncLater(c)
	}
	c.recorded = true
	if d := s.daemon; d != nil && (d.listed || c.daemon == d) {
		s.tellExit(*c.exit)
	}
	if s.daemon == nil && s.mount.wanted {
		s.answerLater(c)
	} else if s.daemon == nil { // nobody is there to clear it away, and nobody is to come
		c.answer()
	}
	s.settle()
}

func (s *server) tellExit(e Exit) {
	s.daemon.peer.send(func() *message { return &message{Op: opExit, ID: e.ID, Exit: &e} })
}

// forget ends the monitor's part in a container that has ended. Output that comes still goes to its log.
func (s *server) forget(c *container) {
	c.answer()
	c.room.drop()
	delete(s.containers, c.id)
	for _, f := range []*os.File{c.pidfd, c.pty, c.between, c.stdin, c.oom} {
		closed(f)
	}
	c.src.drop()
	s.closeJournal(c.journal)
}

// drop undoes an adoption that failed.
func (c *container) drop() {
	for _, t := range slices.Clone(c.streams) {
		t.end()
	}
	c.server.forget(c)
}

// answer gives the attached sockets the exit, or closes them if there is none.
func (c *container) answer() {
	for _, t := range slices.Clone(c.statuses) {
		if c.exit == nil {
			t.close()
		} else {
			t.finish(c.exit.status())
		}
	}
}

func (c *container) grew() {
	for _, t := range c.statuses {
		t.grew()
	}
}

// answerLater answers attached sockets even though no daemon calls Forget.
func (s *server) answerLater(c *container) {
	if c.exit == nil || len(c.statuses) == 0 || !c.answerAt.IsZero() {
		return
	}
	c.answerAt = time.Now().Add(s.o.AnswerWithin)
	s.after(s.o.AnswerWithin, func() {
		if s.containers[c.id] == c {
			c.answer()
		}
	})
}

// running lists the ids of containers whose process lives.
func (s *server) running() []string {
	var ids []string
	for id, c := range s.containers {
		if c.exit == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// oomKills reads a cgroup's count of processes killed for want of memory: a line "oom_kill N" of memory.events (v2) or
// memory.oom_control (v1).
func oomKills(f *os.File) int64 {
	if f == nil {
		return 0
	}
	var buf [512]byte
	n, _ := f.ReadAt(buf[:], 0)
	for line := range bytes.Lines(buf[:n]) {
		if name, value, ok := bytes.Cut(bytes.TrimSpace(line), []byte(" ")); ok && string(name) == "oom_kill" {
			kills, _ := strconv.ParseInt(string(value), 10, 64)
			return kills
		}
	}
	return 0
}

func closed(f *os.File) *os.File {
	if f != nil {
		_ = f.Close()
	}
	return nil
}
