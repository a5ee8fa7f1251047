package monitor

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"hull/engine/logs"
)

// handover is all that a monitor knows, in the form in which another one goes on from it: JSON in a memory file, with
// the numbers of descriptors that are inherited. It is given by a monitor that executes another program in its place,
// and by a daemon whose monitor was killed.
type handover struct {
	Version int    `json:"version"`
	Wanted  bool   `json:"wanted"` // a daemon is to run
	Ready   bool   `json:"ready"`  // one has been ready
	Payload []byte `json:"payload,omitempty"`
	Ending  Ending `json:"ending,omitempty"` // the daemon was at this one
	// Held are the messages that gave containers, sessions and attachments to the monitor, with the Numbers of their
	// descriptors. A container comes before who is attached to it.
	Held []*message `json:"held,omitempty"`
	// Lent are the descriptors of sockets that are lent, by name.
	Lent map[string]int `json:"lent,omitempty"`
	// Daemon is a pidfd of the daemon that hands over, which has to be dead before the next one begins; 0 if none does.
	Daemon int `json:"daemon,omitempty"`
	// Interim is the write end of a pipe to the process that has the same for as long as no daemon has it, see Interim; 0 if
	// there is none. The descriptors of Held and Daemon have the numbers below it.
	Interim int `json:"interim,omitempty"`
	// The others are there only if the process stays the same. Lock and Listener are the run directory's.
	Lock     int          `json:"lock,omitempty"`
	Listener int          `json:"listener,omitempty"`
	Peers    []handedPeer `json:"peers,omitempty"`
}

// handedPeer is a control connection, and the requests on it that are not answered yet.
type handedPeer struct {
	Number int           `json:"number"`
	Owed   map[uint64]op `json:"owed,omitempty"`
}

// handoverVersion is raised when a monitor of this release cannot go on from what an earlier one hands over, or the
// other way round. Fields that are added, and may be missing, need no new one.
const handoverVersion = 1

// file gives the handover as a memory file.
func (h *handover) file() (*os.File, error) {
	h.Version = handoverVersion
	b, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("hull-handover", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "handover")
	if _, err := f.WriteAt(b, 0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// readHandover reads it where it was inherited, and takes the descriptors of all that is held.
func readHandover(f *os.File) (*handover, error) {
	h, err := peek(f)
	if err != nil {
		return nil, err
	}
	if h.Version != handoverVersion {
		return nil, &Error{Op: "serve", Kind: Invalid, Sentence: "hull's monitor cannot go on from what one of another release held"}
	}
	for _, m := range h.Held {
		m.inherit()
	}
	return h, nil
}

// inherit makes files of a message's numbers.
func (m *message) inherit() {
	m.files = map[slot]*os.File{}
	for i, s := range m.Slots {
		if i >= len(m.Numbers) {
			break
		}
		// Go must not watch it beside the loop, which it would if it did not block.
		_ = unix.SetNonblock(m.Numbers[i], false)
		m.files[s] = inherited(m.Numbers[i], string(s))
	}
	m.Numbers = nil
}

func inherited(number int, name string) *os.File {
	unix.CloseOnExec(number)
	return os.NewFile(uintptr(number), name)
}

// The numbers that descriptors have for who goes on: after standard input, output and error come the handover, which the
// last argument tells of, and what it speaks of.
const (
	firstPassed = 3 + 1
	handoverArg = "3"
)

// Succeed starts cmd, which must call Interim with its last argument's descriptor, after the monitor of this client is
// Lost: it starts the next one, which goes on from all that was held. This daemon must end then: the new monitor sees to
// that, and starts another daemon, which is its child and can make children for it. If the interim that follows an earlier
// monitor is there still, it does so of itself.
func (c *Client) Succeed(cmd *exec.Cmd) error {
	c.kept.mu.Lock()
	defer c.kept.mu.Unlock()
	if c.kept.interim != nil {
		c.kept.left = true
		return nil
	}
	self, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	defer func() { _ = unix.Close(self) }()
	p := passing{first: firstPassed}
	h := &handover{Wanted: true, Ready: c.kept.ready, Ending: c.kept.ending, Daemon: p.pass(self)}
	for _, all := range []map[string]*kept{c.kept.containers, c.kept.others} {
		for _, one := range all {
			m := one.message
			for _, fd := range one.fds {
				m.Numbers = append(m.Numbers, p.pass(fd))
			}
			h.Held = append(h.Held, &m)
		}
	}
	h.Lent = map[string]int{}
	for name, fd := range c.kept.lent {
		h.Lent[name] = p.pass(fd)
	}
	h.Interim = p.first + len(p.fds)
	f, err := h.file()
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	cmd.Args = append(cmd.Args, handoverArg)
	_, err = p.start(cmd, f)
	return err
}

// passing are descriptors that a new process inherits, one after the other.
type passing struct {
	first int
	fds   []uintptr
}

// pass gives the number that a descriptor will have.
func (p *passing) pass(fd int) int {
	p.fds = append(p.fds, uintptr(fd))
	return p.first + len(p.fds) - 1
}

// start starts cmd in a session of its own. It is not exec.Cmd's own Start, which would make what does not block block,
// for everybody who shares it.
func (p *passing) start(cmd *exec.Cmd, handover *os.File) (pid int, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer func() { _ = null.Close() }()
	files := []uintptr{uintptr(rawFD(null)), uintptr(rawFD(null)), uintptr(rawFD(null)), uintptr(rawFD(handover))}
	for i, w := range []io.Writer{cmd.Stdout, cmd.Stderr} {
		if f, ok := w.(*os.File); ok {
			files[i+1] = uintptr(rawFD(f))
		}
	}
	pid, err = syscall.ForkExec(cmd.Path, cmd.Args, &syscall.ProcAttr{
		Env: cmd.Environ(), Files: append(files, p.fds...), Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, &Error{Op: "succeed", Kind: System, Sentence: "another monitor could not be started", Err: err}
	}
	return pid, nil
}

// resume goes on from a handover.
func (s *server) resume(h *handover) {
	if h.Interim > 0 {
		s.interim = inherited(h.Interim, "interim")
	}
	for _, m := range h.Held {
		m.Again = true
		var err *Error
		switch m.Op {
		case opAdopt:
			err = s.adopt(nil, m)
		case opSession:
			err = s.session(m)
		case opAttach:
			err = s.attach(m)
		default: // a later monitor's
		}
		if err != nil {
			s.log.Error("what an earlier monitor held cannot be watched any more", "container", m.ID, "kind", m.Op, "err", err)
		}
		m.close()
	}
	for name, fd := range h.Lent {
		unix.CloseOnExec(fd)
		s.lent[name] = fd
	}
	for _, p := range h.Peers {
		s.resumePeer(p)
	}
	s.killStrangers() // which the process has been given up by, and has not waited for yet
	for _, c := range s.containers {
		s.answerLater(c)
	}
	if h.Daemon > 0 {
		s.outlive(inherited(h.Daemon, "daemon"), h)
		return
	}
	if h.Wanted {
		s.begin(h.Payload)
		s.mount.ready = h.Ready
		return
	}
	s.mount.payload = h.Payload
	s.settle()
}

// outlive begins with a daemon when the one that has handed over is dead, which it sees to.
func (s *server) outlive(pidfd *os.File, h *handover) {
	s.mount = mount{wanted: true, payload: h.Payload, ready: h.Ready}
	if h.Ending != "" { // who asked for it comes again, or has gone
		s.end(&ending{mode: h.Ending, reply: s.logEnding})
	}
	_ = signalTo(pidfd, unix.SIGKILL)
	var src *source
	src, err := s.loop.watch(rawFD(pidfd), unix.EPOLLIN, func(uint32) {
		src.drop()
		closed(pidfd)
		s.startDaemon()
	})
	if err != nil { // the next one fails as long as the old one lives, and is tried again
		closed(pidfd)
		s.startDaemon()
	}
}

func (s *server) resumePeer(h handedPeer) {
	unix.CloseOnExec(h.Number)
	p, err := s.addPeer(h.Number)
	if err != nil {
		return
	}
	for seq, what := range h.Owed {
		r := s.owe(p, what, seq)
		if what == opEnded {
			s.mount.watchers = append(s.mount.watchers, r)
		} else {
			s.mount.waiters = append(s.mount.waiters, r)
		}
	}
}

// endPredecessor ends the daemon that has handed over to a monitor that cannot begin: its containers are found by their
// records then.
func (s *server) endPredecessor() {
	if s.handover != nil && s.handover.Daemon > 0 {
		_ = unix.PidfdSendSignal(s.handover.Daemon, unix.SIGKILL, nil, 0)
	}
}

// owe is how a request on a control connection is answered; until it is, it is handed over with all else.
func (s *server) owe(p *peer, what op, seq uint64) reply {
	if p.owed == nil {
		p.owed = map[uint64]op{}
	}
	p.owed[seq] = what
	return func(err *Error) {
		delete(p.owed, seq)
		p.answer(seq, err)
	}
}

// message is what another daemon or monitor is to know of a container.
func (c *container) message(as op) *message {
	m := &message{Op: as, ID: c.id, Dir: c.dir, PID: c.pid, Started: c.started, Volatile: c.volatile, OOMBefore: c.oomBefore}
	m.LogMax, m.LogFiles = c.journal.bounds.Max, c.journal.bounds.Files
	if c.recorded {
		m.Exit = c.exit
	}
	m.put(slotPidfd, c.pidfd)
	m.put(slotPty, c.pty)
	m.put(slotBetween, c.between)
	m.put(slotStdin, c.stdin)
	m.put(slotOOM, c.oom)
	for _, t := range c.streams {
		switch {
		case t.terminal || t.file == nil: // the terminal is there already
		case t.kind == logs.Stdout:
			m.put(slotStdout, t.file)
		default:
			m.put(slotStderr, t.file)
		}
	}
	return m
}

// message is the same of a session.
func (t *session) message(as op) *message {
	m := &message{
		Op: as, ID: t.id, Key: t.key, PID: t.pid, Started: t.started, Report: t.report, Payload: t.label, Hold: t.hold, HungUp: t.hungUp,
	}
	m.put(slotPidfd, t.pidfd)
	if t.status != nil {
		m.put(slotStatus, t.status.file)
	}
	return m
}

// message is the same of who is attached.
func (t *status) message(as op) *message {
	m := &message{Op: as, ID: t.container.id, Key: t.key, Started: t.started, Payload: t.label, Hold: t.hold, Segment: t.supply.sent(), Paced: t.supply.paced}
	m.put(slotStatus, t.file)
	m.put(slotKeys, t.keyboard.pipe())
	return m
}

// tellKept gives the daemon what it keeps and its engine does not know.
func (s *server) tellKept(hold string, what func() *message) {
	if hold == "" {
		return
	}
	s.daemon.peer.send(func() *message {
		m := what()
		if m != nil {
			m.Text, m.Op = string(m.Op), opKept
		}
		return m
	})
}

// tellOver tells the daemon to let go of what it keeps of a session or attachment.
func (s *server) tellOver(hold string) {
	if hold != "" && s.daemon != nil {
		s.daemon.peer.send(func() *message { return &message{Op: opOver, Hold: hold} })
	}
}
