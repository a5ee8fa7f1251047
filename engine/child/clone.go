package child

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
)

// clone makes a child that runs the program at an address of our memory, which
// it shares; it returns the child's pid or a negative errno.
//
// This is no vfork: the child uses no stack, so the caller need not stand
// still until the child executes something. It must not either: Go could not
// stop the world meanwhile.
//
//go:noescape
func clone(args unsafe.Pointer, size, program, failure uintptr) int

type cloneArgs struct {
	Flags, Pidfd, ChildTID, ParentTID, ExitSignal     uint64
	Stack, StackSize, TLS, SetTID, SetTIDSize, Cgroup uint64
}

// cloneClearSighand is CLONE_CLEAR_SIGHAND (Linux 5.5): Go's signal handlers
// must not run in the child.
const cloneClearSighand = 0x100000000

// scratch is memory outside Go's heap: the child writes to it, and the
// garbage collector must neither move nor look at it.
type scratch struct {
	args    cloneArgs
	pidfd   int32
	failure [2]uint64
}

const scratchSize = 0x10000

// clonePlainly clones with all signals blocked: the child shares our memory,
// and a handler in it would be a handler in us.
func clonePlainly(sc *scratch, program uintptr) (int, error) {
	runtime.LockOSThread() // whose signal mask it is
	defer runtime.UnlockOSThread()
	all, old := ^uint64(0), uint64(0)
	pid := 0
	err := sys.Usually(func() error {
		mask(&all, &old)
		pid = clone(unsafe.Pointer(&sc.args), unsafe.Sizeof(sc.args), program, uintptr(unsafe.Pointer(&sc.failure)))
		mask(&old, nil)
		if pid < 0 {
			return os.NewSyscallError("clone3", unix.Errno(-pid))
		}
		return nil
	})
	return max(pid, 0), err
}

func mask(set, old *uint64) {
	const setMask = 2
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), 8, 0, 0)
}
