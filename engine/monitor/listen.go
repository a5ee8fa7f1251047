package monitor

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lockName is locked while a monitor serves the run directory.
const lockName = "monitor.lock"

// control is the monitor's side of control connections.
type control struct {
	dir, lock *os.File // of the run directory
	fd        int      // listens
	src       *source
	peers     map[*peer]bool
}

// openControl takes the run directory and listens there. A socket that a dead monitor left is replaced: the lock says
// that it is dead.
func (s *server) openControl() error {
	c := &control{fd: -1, peers: map[*peer]bool{}}
	s.control = c
	var err error
	if c.dir, err = openRun(s.o.Run); err != nil {
		return err
	}
	if h := s.handover; h != nil && h.Lock > 0 {
		c.lock, c.fd = inherited(h.Lock, lockName), h.Listener
		unix.CloseOnExec(c.fd)
		return s.listenOn(c)
	}
	fd, err := unix.Openat(rawFD(c.dir), lockName, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return os.NewSyscallError("open", err)
	}
	c.lock = os.NewFile(uintptr(fd), lockName)
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		c.lock = closed(c.lock)
		return &Error{Op: "serve", Kind: Exists, Sentence: "another hull is mounted with the run directory " + s.o.Run, Err: os.NewSyscallError("flock", err)}
	}
	if err := c.listen(s.o.Run); err != nil {
		return err
	}
	if err := s.listenOn(c); err != nil {
		return err
	}
	if s.o.Front != nil {
		fd, err := unix.FcntlInt(uintptr(rawFD(s.o.Front)), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("fcntl", err)
		}
		closed(s.o.Front)
		_, err = s.addPeer(fd)
		return err
	}
	return nil
}

func (s *server) listenOn(c *control) (err error) {
	c.src, err = s.loop.watch(c.fd, unix.EPOLLIN, func(uint32) { s.accept() })
	return err
}

func (c *control) listen(run string) (err error) {
	if c.fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return os.NewSyscallError("socket", err)
	}
	dir := rawFD(c.dir)
	if err := unix.Unlinkat(dir, socketName, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return os.NewSyscallError("unlink", err)
	}
	if err := unix.Bind(c.fd, &unix.SockaddrUnix{Name: fdPath(dir, socketName)}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	if err := unix.Fchmodat(dir, socketName, 0o600, 0); err != nil { // nobody can connect before listen
		return os.NewSyscallError("chmod", err)
	}
	return os.NewSyscallError("listen", unix.Listen(c.fd, 64))
}

// openRun opens the run directory, which must be nobody else's to write to.
func openRun(path string) (*os.File, error) {
	dir, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	st, err := dir.Stat()
	if err == nil && st.Mode().Perm()&0o022 != 0 {
		err = &Error{Op: "serve", Kind: Invalid, Sentence: "the run directory " + path + " can be written by others; chmod it to 0700"}
	}
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir, nil
}

// tellFront tells whoever started a monitor that could not begin.
func (s *server) tellFront(err *Error) {
	if s.o.Front == nil {
		return
	}
	m := &message{Op: opEnded, Failure: err}
	if body, _, err := m.pack(); err == nil {
		_ = unix.Sendto(rawFD(s.o.Front), body, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, nil)
	}
}

func (s *server) accept() {
	for {
		fd, _, err := unix.Accept4(s.control.fd, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ECONNABORTED) {
			continue
		}
		if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) { // the connection waits, without an event a moment
			s.control.src.change(0)
			s.after(time.Second, func() { s.control.src.change(unix.EPOLLIN) })
			return
		}
		if err != nil {
			return
		}
		who, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil || who.Uid != 0 && int(who.Uid) != os.Geteuid() {
			_ = unix.Close(fd)
			continue
		}
		_, _ = s.addPeer(fd)
	}
}

func (s *server) addPeer(fd int) (*peer, error) {
	p, err := newPeer(s.loop, fd, s.fromControl, func(p *peer) { delete(s.control.peers, p) })
	if err == nil {
		s.control.peers[p] = true
	}
	return p, err
}

// fromControl handles a request of `hull mount` or `hull umount`.
func (s *server) fromControl(p *peer, m *message) {
	r := s.owe(p, m.Op, m.Seq)
	switch m.Op {
	case opReady:
		s.whenReady(r)
	case opEnded:
		if s.mount.failure != nil && !s.mount.wanted {
			r(s.mount.failure)
			return
		}
		s.mount.watchers = append(s.mount.watchers, r)
	case opUmount:
		s.end(&ending{mode: m.Mode, reply: r})
	case opUpgrade:
		s.upgrade(m, r)
	case opRenew:
		s.renew(r)
	case opMount:
		if s.mount.wanted || s.daemon != nil || s.ending != nil {
			r(&Error{Op: "mount", Kind: Exists, Sentence: "hull is mounted already with this run directory"})
			return
		}
		r(nil)
		s.begin(m.Payload)
	default:
		r(&Error{Op: string(m.Op), Kind: Invalid, Sentence: "the monitor does not know the request " + string(m.Op)})
	}
}

func (s *server) whenReady(r reply) {
	switch {
	case s.daemon != nil && s.daemon.ready:
		r(nil)
	case s.mount.failure != nil:
		r(s.mount.failure)
	case !s.mount.wanted:
		r(gone())
	default:
		s.mount.waiters = append(s.mount.waiters, r)
	}
}

// renew kills a daemon that does not answer, as only death is sure to end it; another one is started at once.
func (s *server) renew(r reply) {
	if s.daemon != nil {
		_ = signalTo(s.daemon.pidfd, unix.SIGKILL)
	}
	r(nil)
}

// releaseRun gives the run directory up; connections stay.
func (s *server) releaseRun() {
	c := s.control
	if c == nil || c.fd < 0 {
		return
	}
	c.src.drop()
	_ = unix.Close(c.fd)
	c.fd = -1
	_ = unix.Unlinkat(rawFD(c.dir), socketName, 0)
	c.lock = closed(c.lock)
}

func (s *server) closeControl() {
	if s.control == nil {
		return
	}
	s.releaseRun()
	for p := range s.control.peers {
		p.close()
	}
	closed(s.control.lock)
	closed(s.control.dir)
}
