package engine

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"hull/engine/launch"
)

// testLauncher starts such processes.
type testLauncher struct {
	ofParent bool // the daemon role: children of the monitor
	reap     func(pidfd *os.File)
	gate     chan struct{} // if not nil, Park takes one from it, and waits for a second
	execGate chan struct{} // if not nil, Exec takes one from it, and waits for a second
	listed   atomic.Int32  // how often Commands was called
	network  *os.File      // every process's network namespace

	mu     sync.Mutex
	staged map[*testStaged]bool // those that wait
	broken bool                 // nothing can be made beforehand
}

// testStaged is a process that was made beforehand: nothing, until it is somebody's.
type testStaged struct {
	l     *testLauncher
	up    bool // it was plugged when it was staged
	dead  bool
	dying bool // it will be killed when it has been handed over, before it runs its command
	death chan struct{}
}

func (s *testStaged) Serves(spec launch.Spec) bool { return spec.ShmSize == 0 }

func (s *testStaged) Alive() bool {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	return !s.dead
}

func (s *testStaged) Died(ctx context.Context) bool {
	select {
	case <-s.death:
		return true
	case <-ctx.Done():
		return false
	}
}

// die has it killed.
func (s *testStaged) die() {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.dead = true
	close(s.death)
}

func (s *testStaged) Park(ctx context.Context, spec launch.Spec) (parked, error) {
	s.Abort()
	if s.dying {
		p, err := s.l.start(spec.Args, spec.Env, spec.Stdin, spec.Stdout, spec.Stderr)
		if err != nil {
			return nil, err
		}
		err = spec.Begun(p)
		p.Abort()
		if err = errors.Join(err, p.Close()); err != nil {
			return nil, err
		}
		return nil, &launch.Error{Op: "start", Kind: launch.Gone, Text: "it is dead"}
	}
	if s.up {
		spec.Plug = nil
	}
	return s.l.Park(ctx, spec)
}

func (s *testStaged) Abort() {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	delete(s.l.staged, s)
}

// waiting are the processes that were made beforehand.
func (l *testLauncher) waiting() []*testStaged {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.staged))
}

type testParked struct {
	l     *testLauncher
	pid   int
	pidfd *os.File
	gate  *os.File
	args  []string

	released, ran bool
}

func (l *testLauncher) Park(ctx context.Context, spec launch.Spec) (parked, error) {
	for range 2 {
		if l.gate == nil {
			break
		}
		select {
		case <-l.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	root, err := spec.Root(nil)
	if err != nil {
		return nil, err
	}
	root.Close()
	if spec.Plug != nil {
		if err := spec.Plug(ctx, nil); err != nil {
			return nil, err
		}
	}
	return l.begin(spec.Begun, spec.Args, spec.Env, spec.Stdin, spec.Stdout, spec.Stderr)
}

func (l *testLauncher) Stage(ctx context.Context, spec launch.Spec) (staged, error) {
	if spec.Plug != nil {
		if err := spec.Plug(ctx, nil); err != nil {
			return nil, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken {
		return nil, errors.New("it cannot be made")
	}
	if l.staged == nil {
		l.staged = map[*testStaged]bool{}
	}
	s := &testStaged{l: l, up: spec.Plug != nil, death: make(chan struct{})}
	l.staged[s] = true
	return s, nil
}

func (l *testLauncher) Exec(_ context.Context, _ launch.Target, spec launch.ExecSpec) (parked, error) {
	if l.execGate != nil {
		<-l.execGate
		<-l.execGate
	}
	return l.begin(spec.Begun, spec.Args, spec.Env, spec.Stdin, spec.Stdout, spec.Stderr)
}

// begin starts a process and hands it over to whoever is to own it.
func (l *testLauncher) begin(tell func(launch.Begun) error, args, env []string, stdin, stdout, stderr *os.File) (parked, error) {
	p, err := l.start(args, env, stdin, stdout, stderr)
	if err != nil {
		return nil, err
	}
	if err := tell(p); err != nil {
		p.Abort()
		p.Close()
		return nil, err
	}
	return p, nil
}

func (l *testLauncher) start(args, env []string, stdin, stdout, stderr *os.File) (*testParked, error) {
	switch args[0] {
	case "nosuch":
		return nil, &launch.Error{Op: "find", Kind: launch.NotFound, Text: "there is no nosuch"}
	case "fullstop":
		return nil, &launch.Error{Op: "mount", Kind: launch.Space, Text: "the disk is full"}
	}
	read, write, err := blockingPipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	ready, told, err := blockingPipe()
	if err != nil {
		return nil, err
	}
	defer ready.Close()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(env, roleVar+"=command")
	cmd.ExtraFiles = []*os.File{read, told}
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if stdin != nil {
		cmd.Stdin = stdin
	}
	if stdout != nil {
		cmd.Stdout = stdout
	}
	if stderr != nil {
		cmd.Stderr = stderr
	}
	if l.ofParent {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_PARENT
	}
	err = cmd.Start()
	told.Close()
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		return nil, err
	}
	pid := cmd.Process.Pid
	cmd.Process.Release()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, err
	}
	return &testParked{l: l, pid: pid, pidfd: os.NewFile(uintptr(fd), "pidfd"), gate: write, args: args}, nil
}

func (p *testParked) PID() int          { return p.pid }
func (p *testParked) Pidfd() *os.File   { return p.pidfd }
func (p *testParked) Pty() *os.File     { return nil }
func (p *testParked) Root() *os.File    { return nil }
func (p *testParked) Network() *os.File { return p.l.network }

func (p *testParked) Release(context.Context) error {
	p.released = true
	_, err := p.gate.Write([]byte{1})
	return err
}

func (p *testParked) Run(ctx context.Context) error {
	if !p.released {
		if err := p.Release(ctx); err != nil {
			return err
		}
	}
	if p.args[0] == "badexec" {
		return &launch.Error{Op: "exec", Kind: launch.NotExecutable, Text: "badexec cannot be executed"}
	}
	p.ran = true
	return nil
}

func (p *testParked) Abort() {
	if p.ran {
		return
	}
	p.ran = true
	_ = unix.PidfdSendSignal(int(p.pidfd.Fd()), unix.SIGKILL, nil, 0)
	p.l.reap(p.pidfd)
}

func (p *testParked) Close() error { return errors.Join(p.gate.Close(), p.pidfd.Close()) }

func (l *testLauncher) Commands(root *os.File, _ []string) ([]string, error) {
	l.listed.Add(1)
	return []string{"ls", "sh"}, nil
}
func (l *testLauncher) Users(context.Context, uint32, uint32) (*os.File, error) { return nil, nil }
func (l *testLauncher) OpenHost(_ context.Context, h launch.HostPath) (*os.File, error) {
	return os.Open(h.Path)
}

func (l *testLauncher) OwnerUsers(context.Context, uint32, uint32, uint32, uint32) (*os.File, error) {
	return nil, nil
}
func (l *testLauncher) Close() error { return nil }
