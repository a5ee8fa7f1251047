package monitor

import (
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
)

// mount is what the monitor knows of the mount it serves, over all the daemons that serve it one after the other.
type mount struct {
	wanted   bool   // a daemon is to run
	payload  []byte // what the daemon is started with
	ready    bool   // some daemon has been ready
	attempts int    // daemons that died without any having been ready
	delay    time.Duration
	restart  *time.Timer
	failure  *Error  // why the mount was given up
	waiters  []reply // who waits for ready
	watchers []reply // who waits for the end
}

// reply answers a request on a control connection.
type reply func(*Error)

func answerAll(rs *[]reply, err *Error) {
	all := *rs
	*rs = nil
	for _, r := range all {
		r(err)
	}
}

// Restart delays: at once after a daemon that has lived a while, else doubling up to the longest, which keeps the promise
// of two seconds.
const (
	firstDelay  = 50 * time.Millisecond
	longDelay   = 1500 * time.Millisecond
	livedAWhile = 10 * time.Second
)

// daemon is one daemon process.
type daemon struct {
	pidfd   *os.File
	peer    *peer
	started time.Time
	ready   bool
	listed  bool   // it has asked what is held: exits of all containers go to it
	failed  string // its own word why it cannot run
	asked   *ending
	done    bool // it has answered an ending with success and is about to exit
}

// begin wants a daemon from now on.
func (s *server) begin(payload []byte) {
	s.mount = mount{wanted: true, payload: payload, waiters: s.mount.waiters, watchers: s.mount.watchers}
	s.startDaemon()
}

func (s *server) startDaemon() {
	s.mount.restart = nil
	if s.daemon != nil || !s.mount.wanted {
		return
	}
	d, err := s.newDaemon()
	if err != nil {
		s.log.Error("the daemon could not be started", "err", err)
		s.daemonGone("it could not be started: "+err.Error(), "", 0)
		return
	}
	s.daemon = d
}

func (s *server) newDaemon() (*daemon, error) {
	cmd, err := s.o.Daemon(s.mount.payload)
	if err != nil {
		return nil, err
	}
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	far := os.NewFile(uintptr(p[1]), "daemon")
	defer func() { _ = far.Close() }()
	cmd.ExtraFiles = append([]*os.File{far}, cmd.ExtraFiles...)
	attr := syscall.SysProcAttr{}
	if cmd.SysProcAttr != nil {
		attr = *cmd.SysProcAttr
	}
	fd := -1
	attr.PidFD = &fd
	cmd.SysProcAttr = &attr
	if err = s.tellInterim(p[0]); err == nil {
		err = sys.Patiently(cmd.Start)
	}
	if err != nil {
		_ = unix.Close(p[0])
		return nil, err
	}
	_ = cmd.Process.Release()
	d := &daemon{pidfd: os.NewFile(uintptr(fd), "daemon"), started: time.Now()}
	d.peer, err = newPeer(s.loop, p[0], func(_ *peer, m *message) { s.fromDaemon(d, m) }, func(*peer) {})
	if err == nil {
		_, err = s.onExit(d.pidfd, func(e ended) { s.daemonEnded(d, e) })
	}
	if err != nil { // no descriptors left, or no memory
		_ = s.finishOff(d.pidfd, func() {})
		if d.peer != nil {
			d.peer.close()
		}
		return nil, err
	}
	return d, nil
}

// daemonEnded: everything it said before it died counts; then what it left half done is cleared away.
func (s *server) daemonEnded(d *daemon, e ended) {
	d.peer.read()
	d.peer.close()
	closed(d.pidfd)
	s.daemon = nil
	s.killStrangers()
	for _, c := range s.containers {
		if c.daemon == d {
			c.daemon = nil
		}
		if c.recorded {
			s.answerLater(c)
		}
	}
	if d.done {
		s.finish(s.ending)
		return
	}
	exit := exitOf("", e, d.started)
	how := fmt.Sprintf("it ended with status %d", exit.Code)
	if exit.Signal != 0 {
		how = "it was killed by signal " + unix.SignalName(syscall.Signal(exit.Signal))
	}
	s.daemonGone(how, d.failed, time.Since(d.started))
}

// daemonGone decides whether another daemon is tried.
func (s *server) daemonGone(how, failed string, lived time.Duration) {
	m := &s.mount
	if s.upgrading != nil {
		s.exchange()
		return
	}
	if !m.wanted { // it was killed, because it took too long to end
		s.abandon()
		s.finish(s.ending)
		return
	}
	if !m.ready {
		m.attempts++
		if failed != "" || m.attempts >= s.o.Attempts {
			s.giveUp(how, failed)
			return
		}
	}
	if e := s.ending; e != nil && e.mode != Ask {
		if e.deaths++; e.deaths >= s.o.Attempts { // no daemon lives long enough to be asked
			m.wanted = false
			s.abandon()
			s.endWithoutDaemon(e)
			return
		}
	}
	s.log.Warn("the daemon is gone and is started again", "how", how, "said", failed, "delay", m.delay)
	if lived >= livedAWhile {
		m.delay = 0
	}
	m.restart = s.after(m.delay, s.startDaemon)
	m.delay = min(max(firstDelay, 2*m.delay), s.o.RestartWithin)
}

// giveUp ends a mount no daemon could be kept running for. Containers that an earlier mount left go on.
func (s *server) giveUp(how, failed string) {
	m := &s.mount
	text := failed
	if text == "" {
		text = fmt.Sprintf("hull's daemon did not get as far as serving the mount, in %d attempts: %s; its own messages say more", m.attempts, how)
	}
	m.failure = &Error{Op: "mount", Kind: Failed, Sentence: text}
	m.wanted = false
	s.abandon()
	answerAll(&m.waiters, m.failure)
	if s.ending != nil {
		s.endWithoutDaemon(s.ending)
		return
	}
	answerAll(&m.watchers, m.failure)
	s.settle()
}

// fromDaemon handles a message of the daemon.
func (s *server) fromDaemon(d *daemon, m *message) {
	if m.cut {
		d.peer.answer(m.Seq, &Error{Op: string(m.Op), ID: m.ID, Kind: System, Sentence: "the monitor can hold no more descriptors; raise its limit of open files (ulimit -n)"})
		return
	}
	var err *Error
	switch m.Op {
	case opAdopt:
		err = s.adopt(d, m)
	case opSession:
		err = s.session(m)
	case opAttach:
		err = s.attach(m)
	case opBound:
		s.bound(m.ID, m.Dir, m.bounds())
	case opHangUp:
		s.hangUp(m.ID, m.Key)
	case opSignal:
		s.signal(m.ID, m.Key, unix.Signal(m.Signal))
	case opForget:
		err = s.forgetID(m.ID)
	case opAbandon:
		s.abandonID(m.ID)
	case opCloseStdin:
		if c := s.containers[m.ID]; c != nil {
			c.stdin = closed(c.stdin)
		}
	case opReap:
		s.reap(d, m)
		return
	case opList:
		s.list(d, m.Seq)
	case opLend:
		err = s.lend(m)
	case opReturn:
		s.lent.drop(m.Key)
	case opLent:
		s.tellLent(d, m.Seq)
	case opReady:
		s.daemonReady(d)
	case opFail:
		d.failed = m.Text
	case opStopped:
		s.stopped(d, m.Failure)
	default:
		err = &Error{Op: string(m.Op), Kind: Invalid, Sentence: "the monitor does not know the request " + string(m.Op)}
	}
	d.peer.answer(m.Seq, err)
}

func (s *server) daemonReady(d *daemon) {
	d.ready = true
	s.mount.ready = true
	if d.listed { // it has relieved the interim
		s.interim = closed(s.interim)
	}
	answerAll(&s.mount.waiters, nil)
	s.askDaemon()
}

func (s *server) forgetID(id string) *Error {
	c := s.containers[id]
	if c == nil {
		return nil
	}
	if !c.recorded {
		return &Error{Op: string(opForget), ID: id, Kind: Busy, Sentence: "the container is running"}
	}
	s.forget(c)
	s.settle()
	return nil
}

// abandonID lets a container go though its process is still there. That one is reaped when it ends after all.
func (s *server) abandonID(id string) {
	c := s.containers[id]
	if c == nil {
		return
	}
	for _, t := range slices.Clone(c.streams) {
		t.end()
	}
	var left *os.File
	if c.exit == nil {
		var err error
		if left, err = duplicate(c.pidfd); err != nil {
			s.log.Error("a process that does not end cannot be watched any more", "container", id, "err", err)
		}
	}
	s.forget(c)
	if left != nil {
		if err := s.finishOff(left, func() {}); err != nil {
			s.log.Error("a process that does not end cannot be watched any more", "container", id, "err", err)
		}
	}
	s.settle()
}

func (s *server) reap(d *daemon, m *message) {
	pidfd := m.take(slotPidfd)
	if pidfd == nil || !isChild(pidfd) || s.knows(pidOf(pidfd)) { // reaped already, never the monitor's, or adopted
		closed(pidfd)
		d.peer.answer(m.Seq, nil)
		return
	}
	if err := s.finishOff(pidfd, func() { d.peer.answer(m.Seq, nil) }); err != nil {
		d.peer.answer(m.Seq, asError(string(opReap), err))
	}
}

func (s *server) list(d *daemon, seq uint64) {
	d.listed = true
	for _, c := range s.containers {
		d.peer.send(func() *message {
			if s.containers[c.id] != c {
				return nil
			}
			m := c.message(opHeld)
			m.Seq = seq
			return m
		})
	}
	s.listSessions(d, seq)
}
