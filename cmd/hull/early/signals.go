package early

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"hull/fs/wire"
)

// killed and the number of a signal is the exit status of who was ended by it.
const killed = 128

// late is for how many milliseconds a call that a signal ends may still answer.
const late = 1000

// insist is the how-manyeth signal that asks for an end ends the helper, whatever the command makes of it.
const insist = 3

// next takes a signal that has come; 0 if there is none.
//
//go:nosplit
func next() int {
	n := int(call(unix.SYS_READ, uintptr(signals), uintptr(unsafe.Pointer(&came)), unsafe.Sizeof(came), 0, 0, 0))
	if n != int(unsafe.Sizeof(came)) {
		return 0
	}
	return int(came.Signo)
}

// signalled does what a signal asks that comes before the answer: the first ends the call, of which the daemon is told,
// and a second does not wait for that.
//
//go:nosplit
func signalled() {
	n := next()
	switch {
	case n == 0:
	case n == int(unix.SIGTSTP):
		stop()
	case ending != 0:
		leave(killed + n)
	default:
		ending = n
		tell(n)
	}
}

// handOn does what a signal asks of a command that runs.
//
//go:nosplit
func handOn() {
	n := next()
	switch n {
	case 0:
		return
	case int(unix.SIGTSTP):
		signal(int(unix.SIGSTOP))
		stop()
		signal(int(unix.SIGCONT))
		return
	case int(unix.SIGINT), int(unix.SIGTERM), int(unix.SIGQUIT):
		if insisted++; insisted == insist {
			leave(killed + n)
		}
	}
	signal(n)
}

// signal sends the command a signal: by the daemon, who may, and without one by the command's own descriptor, which works
// for root.
//
//go:nosplit
func signal(n int) {
	if !tell(n) && command >= 0 {
		call(unix.SYS_PIDFD_SEND_SIGNAL, uintptr(command), uintptr(n), 0, 0, 0, 0)
	}
}

// tell tells the daemon of a signal.
//
//go:nosplit
func tell(n int) bool {
	told = [7]byte{1, 0, 0, 0, wire.KindSignal, 0, byte(2 * n)}
	return call(unix.SYS_SENDTO, uintptr(conn), uintptr(unsafe.Pointer(&told)), unsafe.Sizeof(told), unix.MSG_NOSIGNAL, 0, 0) == unsafe.Sizeof(told)
}

// stop stops this process, as SIGTSTP would have. It returns when it is continued.
//
//go:nosplit
func stop() {
	me := call(unix.SYS_GETPID, 0, 0, 0, 0, 0, 0)
	call(unix.SYS_TGKILL, me, me, uintptr(unix.SIGSTOP), 0, 0, 0)
}

//go:nosplit
func leave(status int) { call(unix.SYS_EXIT_GROUP, uintptr(status), 0, 0, 0, 0, 0) }
