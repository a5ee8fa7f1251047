// Package early is what an executed file of a container's exec/ does before there is a Go runtime.
//
// To start Go, the packages of the whole program and some threads takes more time than all the rest of an exec. So a
// hull that is linked with
//
//	go build -ldflags '-E hull/cmd/hull/early.entry'
//
// begins here: if it was started as `hull verb PATH ARGUMENTS…`, PATH is a command of a container and the standard
// descriptors can be given to it as they are, then some twenty system calls do what package verb would do, to the
// same daemon in the same words (package fs/wire), and the process ends with the command's exit status. So it is with
// `wait`, of which many may last long: without Go's runtime one takes no more memory than a few pages.
//
// Whatever is not that plain case, a terminal, something to print, or an error, is left to Go: [begin] returns, the
// runtime starts in this process as it would have, and package verb asks [Left] how far things have come. Signals are
// dealt with here: one that comes while Go starts, which takes milliseconds, ends a program without having been handed on.
// A hull that is linked without the flag does the same things, all of them in package verb.
//
// # Rules
//
// What runs here is compiled Go, without Go: there is no goroutine, no heap, no stack that grows. Every function is
// nosplit and calls none that is not. Nothing is allocated, nothing large is on the stack (the linker checks that), no
// interface, map, closure, string operation or panic is used. An index out of range would be a crash, so each is
// checked beforehand. Everything that a daemon says is checked too: it may be anybody's.
package early

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"hull/fs/wire"
)

// LinkerFlag has a program begin here.
const LinkerFlag = "-E hull/cmd/hull/early.entry"

// storage is the thread-local storage of a thread that has no goroutine.
var storage [8]uint64

// Only the linker and the entry use these.
var _, _, _ = entry, begin, &storage

// entry is where the program begins.
func entry()

// call makes a system call, and gives its result or the negated error.
//
//go:noescape
func call(nr, a, b, c, d, e, f uintptr) uintptr

// What has been done so far. Descriptors are -1 where there is none.
var (
	file   = -1 // the verb file
	asked  bool // ticket is what it has answered
	ticket [wire.TicketSize]byte

	conn     = -1 // to the daemon; the request has been sent
	in       [1024]byte
	received int // of in
	files    [maxFiles]int32
	brought  int // of files

	command  = -1 // the command's process
	signals  = -1 // where those come that are heeded
	ending   int  // the first that is to end the call, before the answer; 0 if none has come
	insisted int  // how many have asked the command to end
)

// maxFiles is how many descriptors may come with what is received: more than any answer has.
const maxFiles = 8

// begin does all there is to do, or returns.
//
//go:nosplit
func begin(stack unsafe.Pointer) {
	argc := *(*int)(stack)
	argv := unsafe.Slice((**byte)(unsafe.Add(stack, 8)), argc)
	if argc < 3 || !same(argv[1], "verb\x00") {
		return
	}
	lends := lendable(0) && lendable(1) && lendable(2)
	if !lends && !(endsInWait(argv[2]) && open(0) && open(1) && open(2)) {
		return // whatever it is
	}
	ask(argv[2])
	t, ok := parseTicket(&ticket)
	if !asked || !ok {
		return
	}
	if is(&ticket, t.verb, t.verbEnd, "wait") && argc == 3 {
		lends = false
	} else if !lends || !is(&ticket, t.verb, t.verbEnd, "exec") {
		return
	}
	size := putRequest(&request, &ticket, t, argv[3:], lends)
	if size == 0 || !connect(t) {
		return
	}
	before := block()
	signals = int(call(unix.SYS_SIGNALFD4, ^uintptr(0), uintptr(unsafe.Pointer(&heeded)), 8, unix.SFD_CLOEXEC, 0, 0))
	if signals < 0 || !send(size, lends) {
		// The call has not been made: package verb makes it, from the beginning.
		closes(&conn)
		closes(&file)
		asked = false
		closes(&signals)
		unblock(before)
		return
	}
	h, n := answered()
	if h == runs {
		closes(&file) // the session is its connection from here on
		h, n = ended(n)
	}
	if h == over {
		leave(n)
	}
	closes(&signals)
}

// ask opens the verb file and asks it for a ticket.
//
//go:nosplit
func ask(path *byte) {
	const flags = unix.O_RDWR | unix.O_CLOEXEC | unix.O_NOCTTY | unix.O_NONBLOCK
	fd := int(call(unix.SYS_OPEN, uintptr(unsafe.Pointer(path)), flags, 0, 0, 0, 0))
	if fd < 0 {
		return
	}
	file = fd
	asked = call(unix.SYS_IOCTL, uintptr(fd), uintptr(wire.IoctlTicket), uintptr(unsafe.Pointer(&ticket)), 0, 0, 0) == 0
	if !asked {
		closes(&file)
	}
}

// connect connects to the daemon.
//
//go:nosplit
func connect(t parts) bool {
	size := t.socketEnd - t.socket
	if size >= len(peer.path) {
		return false
	}
	peer.family = unix.AF_UNIX
	for i := range size {
		peer.path[i] = ticket[t.socket+i]
	}
	fd := int(call(unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0, 0, 0, 0))
	if fd < 0 {
		return false
	}
	if call(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&peer)), uintptr(2+size+1), 0, 0, 0) != 0 {
		closes(&fd)
		return false
	}
	conn = fd
	return true
}

// send sends the request, with the standard descriptors if it lends them.
//
//go:nosplit
func send(size int, lends bool) bool {
	rights.length, rights.level, rights.kind = headerSize+3*4, unix.SOL_SOCKET, unix.SCM_RIGHTS
	rights.fds[0], rights.fds[1], rights.fds[2] = 0, 1, 2
	vector.base, vector.size = uintptr(unsafe.Pointer(&request)), uintptr(size)
	message = msghdr{vector: uintptr(unsafe.Pointer(&vector)), vectors: 1}
	if lends {
		message.control, message.controls = uintptr(unsafe.Pointer(&rights)), headerSize+16
	}
	return call(unix.SYS_SENDMSG, uintptr(conn), uintptr(unsafe.Pointer(&message)), unix.MSG_NOSIGNAL, 0, 0, 0) == uintptr(size)
}

// answered waits for the answer: that the command runs, with its status socket, or that the call is over, with the exit
// status. With anything else package verb goes on from what was received.
//
//go:nosplit
func answered() (heard, int) {
	for {
		for !readable(conn) {
			signalled()
		}
		rights.length = 0
		vector.base, vector.size = uintptr(unsafe.Pointer(&in))+uintptr(received), uintptr(len(in)-received)
		message = msghdr{vector: uintptr(unsafe.Pointer(&vector)), vectors: 1, control: uintptr(unsafe.Pointer(&rights)), controls: unsafe.Sizeof(rights)}
		n := int(call(unix.SYS_RECVMSG, uintptr(conn), uintptr(unsafe.Pointer(&message)), unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT, 0, 0, 0))
		switch {
		case n == -int(unix.EAGAIN) || n == -int(unix.EINTR):
			continue
		case n <= 0:
			if ending != 0 {
				leave(killed + ending)
			}
			return other, 0 // package verb meets it again
		}
		received += n
		if !keep() {
			return other, 0
		}
		h, n, process := parseAnswer(&in, received)
		switch {
		case h != part && ending != 0 && in[4] == wire.KindAnswer && in[5] == 0: // what it says is what came of that
			leave(killed + ending)
		case h == runs && n < brought && process < brought:
			command = int(files[process])
			ending = 0 // it came too late
			return runs, int(files[n])
		case h == over && brought == 0:
			return over, n
		case h != part || received == len(in):
			return other, 0
		}
	}
}

// keep notes the descriptors that came with a message.
//
//go:nosplit
func keep() bool {
	if message.controls == 0 || rights.length == 0 {
		return true
	}
	if rights.level != unix.SOL_SOCKET || rights.kind != unix.SCM_RIGHTS || rights.length < headerSize {
		return false
	}
	n := int(rights.length-headerSize) / 4
	for i := range n {
		if i >= len(rights.fds) || brought >= len(files) {
			return false
		}
		files[brought] = rights.fds[i]
		brought++
	}
	return message.flags&unix.MSG_CTRUNC == 0
}

// ended waits for the command's end, and gives its exit status unless package verb is to wait on.
//
//go:nosplit
func ended(status int) (heard, int) {
	for {
		for !readable(status) {
			handOn()
		}
		// It stays there for package verb if it is something else.
		n := int(call(unix.SYS_RECVFROM, uintptr(status), uintptr(unsafe.Pointer(&exit)), unsafe.Sizeof(exit), unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0))
		switch {
		case n == -int(unix.EAGAIN) || n == -int(unix.EINTR):
		case n == len(exit):
			if code := parseExit(&exit); code >= 0 {
				return over, code
			}
			return other, 0
		default:
			return other, 0
		}
	}
}

// readable waits until something can be read, or a signal has come: then it is false.
//
//go:nosplit
func readable(fd int) bool {
	for {
		polled[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
		polled[1] = unix.PollFd{Fd: int32(signals), Events: unix.POLLIN}
		within := ^uintptr(0)
		if ending != 0 {
			within = late
		}
		n := int(call(unix.SYS_POLL, uintptr(unsafe.Pointer(&polled)), 2, within, 0, 0, 0))
		switch {
		case n == 0:
			leave(killed + ending)
		case n < 0:
		case polled[1].Revents != 0:
			return false
		case polled[0].Revents != 0:
			return true
		}
	}
}
