package verb

import (
	"os"

	"golang.org/x/sys/unix"

	"hull/fs/wire"
)

// lent are the descriptors that a command uses as if they were its own.
type lent struct {
	give []*os.File // what goes to the daemon, in order
	own  []*os.File // of those, what is closed when it has gone
	// Where a terminal, a device, a socket of the network, or a file of a FUSE mount must not be given away, a pipe is, and the helper copies.
	input   *os.File // its writing end, to which the standard input is copied
	outputs []source // their reading ends, and where what comes from them goes
}

// source is something to copy to one of the helper's own descriptors.
type source struct {
	file *os.File
	fd   int
	to   int
}

func (l *lent) files() []*os.File { return l.give }

// sent closes the ends that are the command's now: while the helper holds one, no end of file comes.
func (l *lent) sent() {
	for _, f := range l.own {
		_ = f.Close()
	}
	l.own = nil
}

// close closes everything.
func (l *lent) close() {
	l.sent()
	if l.input != nil {
		_ = l.input.Close()
	}
	for _, s := range l.outputs {
		_ = s.file.Close()
	}
	*l = lent{}
}

// lend decides what a command gets as its standard descriptors: a terminal of its own if both input and output are
// terminals, in whose place the caller's then stands; else the caller's own descriptors, where they can be given.
func (h *helper) lend(r *wire.Request) error {
	if isTerminal(h.in) && isTerminal(h.out) {
		r.Terminal, h.interactive = h.describe(), true
		if isTerminal(h.err) {
			return nil
		}
		return h.lendSome(r, 2)
	}
	return h.lendSome(r, 0, 1, 2)
}

// lendSome gives some of the standard descriptors away.
func (h *helper) lendSome(r *wire.Request, which ...int) error {
	std := [3]int{h.in, h.out, h.err}
	for _, i := range which {
		fd := std[i]
		give := h.lent.copyOf
		if isTerminal(fd) || slow(fd) || barred(fd) {
			give = func(fd int) error { return h.lent.pipe(i, fd) }
		}
		if err := give(fd); err != nil {
			h.lent.close()
			return err
		}
		r.Stdio[i] = true
	}
	return nil
}

// slow tells whether a descriptor is a regular file of a FUSE mount. Whoever closes one asks its server; the daemon
// must not come to wait for that, nor a container for the tree it is in.
func slow(fd int) bool {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return false
	}
	var fs unix.Statfs_t
	return unix.Fstatfs(fd, &fs) == nil && fs.Type == unix.FUSE_SUPER_MAGIC
}

// barred tells whether a descriptor is of a kind that no container is given, so that its bytes are copied: a device, other
// than the null device; or a socket that whoever has it can connect anew, and that in the network in which it was made:
// to what listens on the host's loopback, for one.
func barred(fd int) bool {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return false
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFBLK:
		return true
	case unix.S_IFSOCK:
		return !joined(fd)
	case unix.S_IFCHR:
		return st.Rdev != unix.Mkdev(1, 3)
	}
	return false
}

// joined tells whether a socket is one end of a stream of the Unix domain, as programs make them in the place of pipes: it
// stays that.
func joined(fd int) bool {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil || domain != unix.AF_UNIX {
		return false
	}
	if kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || kind != unix.SOCK_STREAM {
		return false
	}
	_, err = unix.Getpeername(fd)
	return err == nil
}

// copyOf gives a descriptor away as it is. The file made of a duplicate may be closed without closing the original.
func (l *lent) copyOf(fd int) error {
	d, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	f := os.NewFile(uintptr(d), "lent")
	l.give, l.own = append(l.give, f), append(l.own, f)
	return nil
}

// pipe gives a pipe away in place of descriptor i, which is fd.
func (l *lent) pipe(i, fd int) error {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return os.NewSyscallError("pipe2", err)
	}
	reading, writing := os.NewFile(uintptr(p[0]), "pipe"), os.NewFile(uintptr(p[1]), "pipe")
	if i == 0 {
		l.give, l.own, l.input = append(l.give, reading), append(l.own, reading), writing
		return nil
	}
	l.give, l.own = append(l.give, writing), append(l.own, writing)
	l.outputs = append(l.outputs, source{reading, p[0], fd})
	return nil
}
