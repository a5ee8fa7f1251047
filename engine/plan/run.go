package plan

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"hull/engine/child"
)

// namespaces are what a setns on a pidfd joins. The pid namespace is not
// among them: the process is born in it.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// Enter is the first program of an exec. Its files are the pidfd of the
// container's first process and those to join the cgroups by. It answers with
// a descriptor of the container's root.
func Enter(users bool, cgroups int) []Op {
	ops := []Op{}
	if cgroups > 0 {
		ops = append(ops, JoinCgroups{Count: cgroups, First: 1})
	}
	return append(ops, Join{Users: users}, Become{}, Harden{}, ShowRoot{})
}

// Run is the second program of an exec. Its files are the process's 0, 1 and
// 2.
func Run(pr Process) []Op {
	ops := []Op{Stdio{First: runStdin}, ChangeDir{Path: pr.Dir}}
	return append(ops, become(pr)...)
}

// become ends both second programs.
func become(pr Process) []Op {
	ops := []Op{Session{TTY: pr.TTY}}
	for _, l := range pr.Limits {
		ops = append(ops, ResourceLimit{Limit: l})
	}
	filter := Seccomp{Filter: pr.Filter}
	// Without no_new_privs a filter takes a capability that is about to go.
	if pr.Filter != nil && !pr.NoNewPrivs {
		ops = append(ops, filter)
	}
	ops = append(ops, Bound{Caps: pr.Caps, Last: pr.LastCap}, Identity{UID: pr.UID, GID: pr.GID, Groups: pr.Groups, Caps: pr.Caps})
	if pr.NoNewPrivs {
		ops = append(ops, NoNewPrivs{})
		if pr.Filter != nil {
			ops = append(ops, filter)
		}
	}
	return append(ops, Pause{}, Execute{Path: pr.Path, Args: pr.Args, Env: pr.Env, Init: pr.Init})
}

// Join enters the container's namespaces.
type Join struct {
	setup
	Users bool
}

func (o Join) String() string { return "enter the container" }

func (o Join) compile(p *child.Program) {
	flags := namespaces
	if o.Users {
		flags |= unix.CLONE_NEWUSER
	}
	p.Call(unix.SYS_SETNS, child.Int(child.FirstFile), child.Int(flags))
}

// ShowRoot hands the container's root over, by which the command and the user
// are looked up, and waits for the second program.
type ShowRoot struct{ setup }

func (ShowRoot) String() string { return "show the root" }

func (ShowRoot) compile(p *child.Program) {
	p.ReadyWith(p.Call(unix.SYS_OPEN, child.Str("/"), child.Int(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC), zero))
	p.Wait()
}

// Session makes the process leader of a session, whose terminal is stdin.
type Session struct {
	setup
	TTY bool
}

func (o Session) String() string {
	if o.TTY {
		return "start a session on the terminal"
	}
	return "start a session"
}

func (o Session) compile(p *child.Program) {
	p.Call(unix.SYS_SETSID)
	if o.TTY {
		p.Call(unix.SYS_IOCTL, zero, child.Int(unix.TIOCSCTTY), zero)
	}
}

// ResourceLimit sets an rlimit. The hard one has been raised from outside, where that is needed: in here nobody may.
type ResourceLimit struct {
	setup
	Limit Limit
}

func (o ResourceLimit) String() string {
	number := func(n uint64) string {
		if n == Unlimited {
			return "no limit"
		}
		return strconv.FormatUint(n, 10)
	}
	return fmt.Sprintf("limit %s to %s, at most %s", o.Limit.Name, number(o.Limit.Soft), number(o.Limit.Hard))
}

func (o ResourceLimit) compile(p *child.Program) {
	p.Call(unix.SYS_PRLIMIT64, zero, child.Int(o.Limit.Resource), child.Struct(child.Int(o.Limit.Soft), child.Int(o.Limit.Hard)), zero)
}

// Bound drops all capabilities but Caps from the bounding set.
type Bound struct {
	setup
	Caps uint64
	Last int
}

func (o Bound) String() string {
	return "bound capabilities to " + strings.Join(CapabilityNames(o.Caps), " ")
}

func (o Bound) compile(p *child.Program) {
	for c := range o.Last + 1 {
		if o.Caps>>c&1 == 0 {
			p.Call(unix.SYS_PRCTL, child.Int(unix.PR_CAPBSET_DROP), child.Int(c), zero, zero, zero)
		}
	}
}

// Identity takes on the user, the groups and, if the user is root, the
// capabilities; another user has none.
type Identity struct {
	setup
	UID, GID uint32
	Groups   []uint32
	Caps     uint64
}

func (o Identity) String() string {
	return fmt.Sprintf("become user %d, group %d, groups %v", o.UID, o.GID, o.Groups)
}

func (o Identity) compile(p *child.Program) {
	groups := make([]byte, 0, 4*len(o.Groups))
	for _, g := range o.Groups {
		groups = append(groups, byte(g), byte(g>>8), byte(g>>16), byte(g>>24))
	}
	p.Call(unix.SYS_SETGROUPS, child.Int(len(o.Groups)), child.Bytes(groups))
	p.Call(unix.SYS_SETRESGID, child.Int(o.GID), child.Int(o.GID), child.Int(o.GID))
	p.Call(unix.SYS_SETRESUID, child.Int(o.UID), child.Int(o.UID), child.Int(o.UID))
	caps := o.Caps
	if o.UID != 0 {
		caps = 0
	}
	p.Capset(caps, false)
}

// NoNewPrivs stops execve from giving anything.
type NoNewPrivs struct{ setup }

func (NoNewPrivs) String() string { return "set no_new_privs" }

func (NoNewPrivs) compile(p *child.Program) {
	p.Call(unix.SYS_PRCTL, child.Int(unix.PR_SET_NO_NEW_PRIVS), child.Int(1), zero, zero, zero)
}

// Seccomp filters system calls from here on.
type Seccomp struct {
	setup
	Filter []byte
}

func (o Seccomp) String() string { return "filter system calls" }

func (o Seccomp) compile(p *child.Program) {
	p.Call(unix.SYS_SECCOMP, child.Int(unix.SECCOMP_SET_MODE_FILTER), zero, child.Struct(child.Int(len(o.Filter)/8), child.Bytes(o.Filter)))
}

// Pause says that the process is ready and waits for the word.
type Pause struct{ setup }

func (Pause) String() string { return "wait to be released" }

func (Pause) compile(p *child.Program) {
	p.Ready()
	p.Pause()
}

// Execute becomes the command. Whatever descriptor might still be open closes
// with it.
type Execute struct {
	Path      string
	Args, Env []string
	Init      bool // by way of the reaper
}

func (Execute) kind() Kind { return Command }

func (o Execute) String() string {
	if o.Init {
		return fmt.Sprintf("execute init, which executes %s %q %q", o.Path, o.Args, o.Env)
	}
	return fmt.Sprintf("execute %s %q %q", o.Path, o.Args, o.Env)
}

func (o Execute) compile(p *child.Program) {
	p.Call(unix.SYS_CLOSE_RANGE, child.Int(child.Socket), child.Int(^uint32(0)), child.Int(unix.CLOSE_RANGE_CLOEXEC))
	if o.Init {
		// A signal must wait until the reaper takes it: process 1 loses those that
		// it has no handler for.
		const setMask = 2
		p.Call(unix.SYS_RT_SIGPROCMASK, child.Int(setMask), child.Struct(child.Int(^uint64(0))), zero, child.Int(8))
		args := append([]string{"init", o.Path}, o.Args...)
		p.Call(unix.SYS_EXECVEAT, child.Int(initFile), child.Str(""), child.Strs(args), child.Strs(o.Env), child.Int(unix.AT_EMPTY_PATH))
		return
	}
	p.Call(unix.SYS_EXECVE, child.Str(o.Path), child.Strs(o.Args), child.Strs(o.Env))
}
