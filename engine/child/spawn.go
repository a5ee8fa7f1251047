package child

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
)

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

// bear clones and waits until the child is a stub, for it uses the scratch area
// and the seat until then. theirs is closed.
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
	sc.args.Flags = o.Namespaces | unix.CLONE_PIDFD | unix.CLONE_VM | unix.CLONE_FILES | cloneClearSighand
	sc.args.Pidfd = uint64(uintptr(unsafe.Pointer(&sc.pidfd)))
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
	pid, err := s.cloneIn(o, sc, at)
	if err != nil {
		return errors.Join(err, sit(s.seat, s.null))
	}
	stub.PID, stub.Pidfd = pid, os.NewFile(uintptr(sc.pidfd), "pidfd")
	if err = stub.begun(birthWithin); err != nil {
		_ = sys.Signal(stub.Pidfd, unix.SIGKILL) // it has ended, or was born into a cgroup that is frozen
		sys.ExitsWithin(stub.Pidfd, birthWithin)
	}
	err = errors.Join(err, sit(s.seat, s.null)) // now only the child has the socket: its end is the socket's
	if sc.failure[0] != 0 {
		err = b.program.failure(uint64(at), sc.failure[0], sc.failure[1])
	}
	if err != nil {
		return &Stillborn{PID: pid, Pidfd: stub.Pidfd, Err: err}
	}
	return nil
}

// birthWithin is how long a child has to become a stub, for which others wait.
const birthWithin = 10 * time.Second

// sit puts another file in the place of a descriptor, which keeps its number.
func sit(seat, file *os.File) error {
	return os.NewSyscallError("dup3", unix.Dup3(int(file.Fd()), int(seat.Fd()), unix.O_CLOEXEC))
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
