package child

import (
	"golang.org/x/sys/unix"
)

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
