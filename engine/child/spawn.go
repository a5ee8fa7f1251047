package child

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
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
	child   uint32 // its number, until it has executed something or ended
	failure [2]uint64
}

const scratchSize = 0x10000

// Spawner makes stubs. It is ready as a zero value and safe for many
// goroutines: they take turns, because there is one scratch area.
type Spawner struct {
	mu     sync.Mutex
	stub   *os.File
	reaper *os.File // made when it is first wanted
	null   *os.File
	seat   *os.File // whose number the child's end of the socket has while a child is born
	memory []byte
	last   int // the kernel's last capability
	births map[bool]*birth
	ownPID *os.File // this process's pid namespace, to come back to
	ownNet *os.File // its network, likewise
}

// Options say what a stub is born into.
type Options struct {
	// Namespaces are CLONE_NEW flags.
	Namespaces uint64
	// Inside is a process in whose pid namespace the stub is born; nil is
	// our own.
	Inside *os.File
	// Network is a network namespace that the stub is born in; nil is our own. A new one is among the Namespaces.
	Network *os.File
	// Cgroup is the directory of a version 2 cgroup that the stub is born in:
	// to join it later would wait for a grace period of the kernel. nil is our own.
	Cgroup *os.File
	// OfParent makes the stub our parent's child.
	OfParent bool
}

// Prepare makes what all spawns share, which the first does otherwise. The
// earlier, the cheaper are all of them: a child copies the descriptors of ours
// up to those that it is born with, and no others.
func (s *Spawner) Prepare() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.prepare()
}

func (s *Spawner) prepare() (err error) {
	if s.memory != nil {
		return nil
	}
	if s.null == nil {
		if s.null, err = aboveSocket(os.OpenFile(os.DevNull, os.O_RDWR, 0)); err != nil {
			return err
		}
	}
	if s.seat == nil {
		if s.seat, err = aboveSocket(os.OpenFile(os.DevNull, os.O_RDWR, 0)); err != nil {
			return err
		}
	}
	if s.stub == nil {
		var file []byte
		if file, err = stubFile(); err != nil {
			return err
		}
		if s.stub, err = aboveSocket(sys.Program("hull-init", file)); err != nil {
			return err
		}
	}
	if s.last, err = sys.LastCapability(); err != nil {
		return err
	}
	if s.ownPID == nil {
		if s.ownPID, err = os.Open("/proc/self/ns/pid"); err != nil {
			return err
		}
	}
	if s.ownNet == nil {
		if s.ownNet, err = os.Open("/proc/self/ns/net"); err != nil {
			return err
		}
	}
	s.memory, err = unix.Mmap(-1, 0, scratchSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	return os.NewSyscallError("mmap", err)
}

// aboveSocket gives a file a number that no descriptor of a stub's own has.
func aboveSocket(f *os.File, err error) (*os.File, error) {
	if err != nil || f.Fd() > Socket {
		return f, err
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, Socket+1)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// Close gives back what the spawns shared. Stubs live on.
func (s *Spawner) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range []*os.File{s.stub, s.reaper, s.null, s.seat, s.ownPID, s.ownNet} {
		if f != nil {
			_ = f.Close()
		}
	}
	s.stub, s.reaper, s.null, s.seat, s.ownPID, s.ownNet, s.births = nil, nil, nil, nil, nil, nil, nil
	if s.memory == nil {
		return nil
	}
	err := unix.Munmap(s.memory)
	s.memory = nil
	return err
}

// Spawn makes a stub, which waits for its first program.
func (s *Spawner) Spawn(o Options) (*Stub, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "stub") // which they block on
	if err := unix.SetNonblock(pair[0], true); err != nil {
		return nil, errors.Join(err, unix.Close(pair[0]), theirs.Close())
	}
	stub := &Stub{socket: os.NewFile(uintptr(pair[0]), "stub")}
	if err := s.bear(stub, o, theirs); err != nil {
		_ = stub.socket.Close()
		return nil, err
	}
	return stub, nil
}

// bear clones and waits until the child has executed the stub, for it uses the
// scratch area and the seat until then. theirs is closed.
//
// The child shares our descriptors until it has taken its own, the first few:
// the copying of all, a dozen for each container, and their closing in its
// execve were most of a start when many run.
func (s *Spawner) bear(stub *Stub, o Options, theirs *os.File) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer theirs.Close() // whatever happens
	if err := s.prepare(); err != nil {
		return err
	}
	at := uintptr(unsafe.Pointer(&s.memory[page]))
	b := s.birth(at, o.Namespaces&unix.CLONE_NEWUSER != 0)
	copy(s.memory[page:], b.image)
	sc := (*scratch)(unsafe.Pointer(&s.memory[0]))
	*sc = scratch{pidfd: -1}
	sc.args.Flags = o.Namespaces | unix.CLONE_PIDFD | unix.CLONE_VM | unix.CLONE_FILES | unix.CLONE_PARENT_SETTID | unix.CLONE_CHILD_CLEARTID | cloneClearSighand
	sc.args.Pidfd = uint64(uintptr(unsafe.Pointer(&sc.pidfd)))
	sc.args.ParentTID = uint64(uintptr(unsafe.Pointer(&sc.child)))
	sc.args.ChildTID = sc.args.ParentTID
	sc.args.ExitSignal = uint64(unix.SIGCHLD)
	if o.Cgroup != nil {
		sc.args.Flags |= unix.CLONE_INTO_CGROUP
		sc.args.Cgroup = uint64(o.Cgroup.Fd())
	}
	if o.OfParent { // the signal is then the parent's own affair
		sc.args.Flags |= unix.CLONE_PARENT
		sc.args.ExitSignal = 0
	}
	if err := sit(s.seat, theirs); err != nil {
		return err
	}
	_ = theirs.Close() // the seat has it
	pid, failed := s.cloneIn(o, sc, at)
	if failed == nil {
		sc.await()
	}
	err := sit(s.seat, s.null) // now only the child has the socket: its end is the socket's
	if failed != nil {
		return failed
	}
	stub.PID, stub.Pidfd = pid, os.NewFile(uintptr(sc.pidfd), "pidfd")
	if sc.failure[0] != 0 {
		err = b.program.failure(uint64(at), sc.failure[0], sc.failure[1])
	}
	if err != nil {
		_ = sys.Signal(stub.Pidfd, unix.SIGKILL) // it has ended, or does now
		return &Stillborn{PID: pid, Pidfd: stub.Pidfd, Err: err}
	}
	return nil
}

// sit puts another file in the place of a descriptor, which keeps its number.
func sit(seat, file *os.File) error {
	return os.NewSyscallError("dup3", unix.Dup3(int(file.Fd()), int(seat.Fd()), unix.O_CLOEXEC))
}

// await waits until the child has executed the stub, or has ended: the kernel
// clears its number then, and wakes who waits for that.
func (sc *scratch) await() {
	const wait = 0
	for {
		n := atomic.LoadUint32(&sc.child)
		if n == 0 {
			return
		}
		_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&sc.child)), wait, uintptr(n), 0, 0, 0)
	}
}

// cloneIn clones, so that the child is born in the pid namespace of another
// process, or in the network of one. That changes the thread, so it is done on
// one of its own, which ends if it cannot be changed back.
func (s *Spawner) cloneIn(o Options, sc *scratch, program uintptr) (pid int, err error) {
	if o.Inside == nil && o.Network == nil {
		return clonePlainly(sc, program)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if o.Network != nil {
			err = sys.EnterNetwork(o.Network)
		}
		if err == nil && o.Inside != nil {
			err = sys.EnterPIDs(o.Inside)
		}
		if err == nil {
			pid, err = clonePlainly(sc, program)
		}
		if sys.EnterPIDs(s.ownPID) == nil && (o.Network == nil || sys.EnterNetwork(s.ownNet) == nil) {
			runtime.UnlockOSThread()
		}
	}()
	<-done
	return pid, err
}

// Stillborn is a child that ended before it became a stub. Its Pidfd is the
// receiver's; somebody has to wait for it.
type Stillborn struct {
	PID   int
	Pidfd *os.File
	Err   error
}

func (e *Stillborn) Error() string { return fmt.Sprintf("start the stub: %v", e.Err) }

func (e *Stillborn) Unwrap() error { return e.Err }

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

// birth is the program of the child that shares our memory, always the same.
type birth struct {
	program *Program
	image   []byte
}

func (s *Spawner) birth(at uintptr, newUser bool) *birth {
	if b := s.births[newUser]; b != nil {
		return b
	}
	b := &birth{program: s.born(newUser)}
	b.image = b.program.image(uint64(at))
	if s.births == nil {
		s.births = map[bool]*birth{}
	}
	s.births[newUser] = b
	return b
}

// born makes the program.
func (s *Spawner) born(newUser bool) *Program {
	p := &Program{}
	p.Step(Step{What: "take descriptors of its own"})
	last := max(s.null.Fd(), s.seat.Fd(), s.stub.Fd())
	p.Call(unix.SYS_CLOSE_RANGE, Int(last+1), Int(^uint32(0)), Int(unix.CLOSE_RANGE_UNSHARE))
	p.Step(Step{What: "arrange descriptors"})
	for fd := range 3 {
		p.Call(unix.SYS_DUP3, Int(s.null.Fd()), Int(fd), Int(0))
	}
	p.Call(unix.SYS_DUP3, Int(s.seat.Fd()), Int(Socket), Int(0))
	p.Call(unix.SYS_CLOSE_RANGE, Int(Socket+1), Int(^uint32(0)), Int(unix.CLOSE_RANGE_CLOEXEC))
	if newUser {
		p.keepCapabilities(s.last)
	}
	p.Step(Step{What: "execute the stub"})
	p.Call(unix.SYS_RT_SIGPROCMASK, Int(2), Struct(Int(0)), Int(0), Int(8))
	p.Call(unix.SYS_EXECVEAT, Int(s.stub.Fd()), Str(""), Strs([]string{"hull-init"}), Strs(nil), Int(unix.AT_EMPTY_PATH))
	return p
}

// keepCapabilities makes all capabilities up to last ambient. The new user
// namespace has no map yet, its first process is nobody, and execve would
// leave it no others.
func (p *Program) keepCapabilities(last int) {
	p.Step(Step{What: "keep capabilities over execve"})
	p.Capset(uint64(1)<<(last+1)-1, true)
	for c := range last + 1 {
		p.Call(unix.SYS_PRCTL, Int(unix.PR_CAP_AMBIENT), Int(unix.PR_CAP_AMBIENT_RAISE), Int(c), Int(0), Int(0))
	}
}

// Capset adds the call that makes the effective and permitted sets (and the
// inheritable one too) a mask of capabilities.
func (p *Program) Capset(caps uint64, inheritable bool) {
	lo, hi := caps&0xffffffff, caps>>32
	inherit := uint64(0)
	if inheritable {
		inherit = ^uint64(0)
	}
	header := Struct(Int(uint64(unix.LINUX_CAPABILITY_VERSION_3)))
	// struct { effective, permitted, inheritable uint32 } for the low half, then the high one
	p.Call(unix.SYS_CAPSET, header, Struct(Int(lo|lo<<32), Int(lo&inherit|hi<<32), Int(hi|(hi&inherit)<<32)))
}
