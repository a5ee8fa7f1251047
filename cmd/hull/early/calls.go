package early

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// What system calls are given lies here: the stack is small, and this does not move.
var (
	request [4096]byte
	vector  struct{ base, size uintptr }
	message msghdr
	rights  control
	peer    struct {
		family uint16
		path   [108]byte
	}
	polled [2]unix.PollFd
	exit   [16]byte
	facts  unix.Stat_t
	system unix.Statfs_t
	mask   uint64
	came   unix.SignalfdSiginfo
	told   [7]byte

	address      [unix.SizeofSockaddrAny]byte
	value        int32
	size, length uint32
)

// msghdr is the kernel's, with addresses that are numbers.
type msghdr struct {
	name            uintptr
	names           uintptr
	vector, vectors uintptr
	control         uintptr
	controls        uintptr
	flags           int32
	_               int32
}

// control is an ancillary message that brings descriptors.
type control struct {
	length uintptr
	level  int32
	kind   int32
	fds    [maxFiles]int32
}

// headerSize is the size of a control's header.
const headerSize = 16

// heeded are the signals that mean something to an exec without a terminal; package verb says what. A constant, since
// nothing computes variables here.
var heeded uint64 = 1<<(unix.SIGHUP-1) | 1<<(unix.SIGINT-1) | 1<<(unix.SIGQUIT-1) | 1<<(unix.SIGTERM-1) |
	1<<(unix.SIGUSR1-1) | 1<<(unix.SIGUSR2-1) | 1<<(unix.SIGALRM-1) | 1<<(unix.SIGTSTP-1)

// same compares what p points to with a string that ends in a zero byte.
//
//go:nosplit
func same(p *byte, s string) bool {
	for i := range len(s) {
		if *(*byte)(unsafe.Add(unsafe.Pointer(p), i)) != s[i] {
			return false
		}
	}
	return true
}

// endsInWait tells whether the last part of a path is that.
//
//go:nosplit
func endsInWait(path *byte) bool {
	const last = "/wait"
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(path), n)) != 0 {
		n++
	}
	return n >= len(last) && same((*byte)(unsafe.Add(unsafe.Pointer(path), n-len(last))), last)
}

// lendable tells whether a descriptor can be given to a container as it is: no device, terminals among them, but the
// null device, no socket that could be connected anew (package verb says why), and no file of a FUSE mount.
//
//go:nosplit
func lendable(fd uintptr) bool {
	if !open(fd) {
		return false
	}
	switch facts.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return true
	case unix.S_IFSOCK:
		return joined(fd)
	case unix.S_IFCHR:
		return facts.Rdev == 1<<8|3
	case unix.S_IFREG:
		return call(unix.SYS_FSTATFS, fd, uintptr(unsafe.Pointer(&system)), 0, 0, 0, 0) == 0 && system.Type != unix.FUSE_SUPER_MAGIC
	}
	return false
}

// joined tells whether a socket is one end of a stream of the Unix domain, and so stays that.
//
//go:nosplit
func joined(fd uintptr) bool {
	size = uint32(len(address))
	return option(fd, unix.SO_DOMAIN) == unix.AF_UNIX && option(fd, unix.SO_TYPE) == unix.SOCK_STREAM &&
		call(unix.SYS_GETPEERNAME, fd, uintptr(unsafe.Pointer(&address)), uintptr(unsafe.Pointer(&size)), 0, 0, 0) == 0
}

// option is a socket's option; -1 if it has none.
//
//go:nosplit
func option(fd, which uintptr) int32 {
	value, length = -1, 4
	if call(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, which, uintptr(unsafe.Pointer(&value)), uintptr(unsafe.Pointer(&length)), 0) != 0 {
		return -1
	}
	return value
}

// open tells whether there is a descriptor, and notes facts of it. Where one of the first three is missing, what is opened
// here would take its place.
//
//go:nosplit
func open(fd uintptr) bool {
	return call(unix.SYS_FSTAT, fd, uintptr(unsafe.Pointer(&facts)), 0, 0, 0, 0) == 0
}

// block blocks the signals that are heeded, and gives what was blocked before.
//
//go:nosplit
func block() uint64 {
	call(unix.SYS_RT_SIGPROCMASK, unix.SIG_BLOCK, uintptr(unsafe.Pointer(&heeded)), uintptr(unsafe.Pointer(&mask)), 8, 0, 0)
	return mask
}

// unblock has the signals do again what they did before.
//
//go:nosplit
func unblock(before uint64) {
	mask = before
	call(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&mask)), 0, 8, 0, 0)
}

// closes closes a descriptor, if there is one.
//
//go:nosplit
func closes(fd *int) {
	if *fd >= 0 {
		call(unix.SYS_CLOSE, uintptr(*fd), 0, 0, 0, 0, 0)
	}
	*fd = -1
}
