package engine

import (
	"context"
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"hull/engine/launch"
	"hull/engine/monitor"
	"hull/engine/plan"
)

// ExecOptions describe a session in a running container.
type ExecOptions struct {
	Command []string
	Env     []string // added to the container's, "NAME=VALUE"
	User    string   // empty: the container's
	Dir     string   // empty: the container's
	TTY     bool     // a terminal is made in the container and its master returned
	Rows    uint16
	Cols    uint16
	Term    string // TERM for a session with a terminal, empty: xterm
	// Privileged gives all capabilities (in the container's user namespace) and no seccomp; only in containers of root's.
	Privileged bool
	// Terminal is a terminal of the host that leads to the session, if there is one; it is only shown.
	Terminal string
	// Stdin, Stdout and Stderr go to the process as they are (nil: /dev/null) unless TTY is set. They stay the caller's.
	Stdin, Stdout, Stderr *os.File
	// Status is the far end of a monitor.NewStatus, on which the exit comes; nil if nobody waits. It stays the caller's.
	// When the near end is closed before the exit, the session is hung up.
	Status *os.File
	look   *look // the health check that it is; it is not listed then
}

// Execution is a session that has begun.
type Execution struct {
	Session
	Pty   *os.File // the terminal's master, nil without one; the caller's to close
	Pidfd *os.File // the process; the caller's to close, after the last Signal
}

// Signal sends a signal to the session's process. One that has ended is no error.
func (x *Execution) Signal(_ context.Context, signal int) error {
	err := unix.PidfdSendSignal(int(x.Pidfd.Fd()), syscall.Signal(signal), nil, 0)
	if err == nil || errors.Is(err, unix.ESRCH) {
		return nil
	}
	return fail("kill", "", kindOfErrno(err), "the signal cannot be sent: %w", err)
}

// target is a running container as an exec needs it: duplicates, because the run may end meanwhile.
type target struct {
	s       *supervisor
	session Session
	why     origin
	process process
	launch.Target
}

func (t *target) close() {
	closeAll(t.Pidfd)
	closeAll(t.Cgroups...)
}

// Exec starts a session. Kind NotCommand and NotExecutable say that the command could not be run.
func (e *Engine) Exec(ctx context.Context, id string, o ExecOptions) (*Execution, error) {
	if len(o.Command) == 0 || o.Command[0] == "" {
		return nil, fail("exec", "", Invalid, "there is no command to execute")
	}
	type result struct {
		x   *Execution
		err error
	}
	done := make(chan result, 1)
	ok := e.spawn(func() {
		x, err := e.execNow(ctx, id, o)
		done <- result{x, err}
	})
	if !ok {
		return nil, fail("exec", "", Interrupted, "hull's daemon is ending; try again when it is back")
	}
	r := <-done
	return r.x, r.err
}

// execNow makes the process beside the supervisor: sessions do not wait for each other. It is over in milliseconds
// or when ctx ends, which takes the process back whole.
func (e *Engine) execNow(ctx context.Context, id string, o ExecOptions) (*Execution, error) {
	t, err := e.target(ctx, id, o)
	if err != nil {
		return nil, err
	}
	defer t.close()
	defer t.entered() //nolint:contextcheck // a pause that has waited for it goes on in the engine's context
	spec, err := t.spec(o)
	if err != nil {
		t.forgetSession()
		return nil, err
	}
	var refused error
	spec.Begun = func(p launch.Begun) error {
		refused = e.handOver(ctx, t, p, o)
		return refused
	}
	p, err := e.parts.launcher.Exec(ctx, t.Target, spec)
	if err != nil {
		if refused != nil { // it needs no sentence around it
			err = refused
		}
		t.forgetSession()
		return nil, t.s.mark("exec", t.s.notHere(err))
	}
	x, err := e.begin(ctx, t, p)
	if err != nil {
		p.Abort()
	}
	if cerr := p.Close(); err == nil && cerr != nil {
		e.o.Logger.Warn("descriptors of a session cannot be closed", "container", t.s.id, "op", "exec", "err", cerr)
	}
	return x, t.s.mark("exec", t.s.notHere(err))
}

// notHere says of a program that could not be executed for whose machine it is.
func (s *supervisor) notHere(err error) error {
	c := s.snapshot.Load()
	return forAnotherMachine(err, c.Platform, c.Image)
}

// target asks the supervisor for the running container.
func (e *Engine) target(ctx context.Context, id string, o ExecOptions) (*target, error) {
	made := make(chan *target, 1)
	err := e.ask(ctx, "exec", id, func(s *supervisor, answer func(error)) {
		t, err := s.target(o)
		made <- t
		answer(err)
	})
	if err != nil {
		if KindOf(err) == Interrupted {
			e.spawn(func() { forsake(made, e.ctx.Done()) }) //nolint:contextcheck // as above
		}
		return nil, err
	}
	return <-made, nil
}

// forsake takes back what the supervisor may still make for a caller who has gone.
func forsake(made <-chan *target, over <-chan struct{}) {
	select {
	case t := <-made:
		if t != nil {
			t.forgetSession()
			t.entered()
			t.close()
		}
	case <-over:
	}
}

func (s *supervisor) target(o ExecOptions) (*target, error) {
	switch {
	case s.st.State == Paused || len(s.pauses) > 0:
		return nil, fail("exec", s.id, Busy, "the container %s is paused; unpause it first", s.rec.Name)
	case !s.st.State.Alive() || s.st.Run.Process == nil:
		return nil, s.notRunning("exec")
	case o.Privileged && !s.rec.Owner.Root():
		return nil, fail("exec", s.id, NeedsRoot, "--privileged is for containers that belong to root, and %s belongs to user %d", s.rec.Name, s.rec.Owner.UID)
	}
	t := &target{s: s, why: s.why, process: *s.st.Run.Process}
	t.Range = idRange(s.st.Run.Range)
	if s.run.group == nil {
		return nil, fail("exec", s.id, System, "the cgroup of the container %s is gone, so nothing can be started in it", s.rec.Name)
	}
	var err error
	if t.Pidfd, err = dup(s.run.pidfd); err == nil {
		t.Cgroups, err = s.run.group.Join()
	}
	if err != nil {
		t.close()
		return nil, err
	}
	t.session = s.reserveSession(Session{Command: o.Command, TTY: o.TTY, Terminal: o.Terminal, Look: o.look != nil})
	if o.look != nil {
		o.look.session = t.session.ID
	}
	return t, nil
}

func (t *target) forgetSession() {
	t.s.queue.put(func() { t.s.sessionEnded(monitor.Exit{Session: t.session.ID}) })
}

// joined gives the ways into the cgroups back as soon as nothing goes through them any more: to close them takes a while,
// and now nobody waits for it.
func (t *target) joined() {
	closeAll(t.Cgroups...)
	t.Cgroups = nil
}

// entered is told when the process either runs its command or will never be.
func (t *target) entered() {
	t.s.queue.put(func() { t.s.sessionEntered(t.session.ID) })
}

func (s *supervisor) sessionEntered(id string) {
	if x := s.known(id); x != nil {
		x.entering = false
	}
	s.resumePause()
}

// spec is Docker's: a session has the container's environment, user, groups and directory, and a terminal's TERM.
func (t *target) spec(o ExecOptions) (launch.ExecSpec, error) {
	spec := launch.ExecSpec{
		Args: o.Command, Dir: t.process.Dir, User: t.process.User, AdditionalGroups: t.process.Groups,
		TTY: o.TTY, Rows: o.Rows, Cols: o.Cols, Stdin: o.Stdin, Stdout: o.Stdout, Stderr: o.Stderr,
	}
	spec.Limits = rlimits(t.process.Ulimits)
	may := t.process.Privileges
	if o.Privileged {
		may = privileges{Capabilities: plan.CapabilityNames(^uint64(0)), Gains: true, Profile: unconfined}
	}
	spec.Capabilities, spec.NoNewPrivileges = may.names(), !may.Gains
	var err error
	if spec.Seccomp, err = may.filter(); err != nil {
		return spec, err
	}
	if o.Dir != "" {
		spec.Dir = o.Dir
	}
	if o.User != "" {
		spec.User = o.User
	}
	var term []string
	if o.TTY {
		term = []string{"TERM=xterm"}
		if o.Term != "" {
			term = []string{"TERM=" + o.Term}
		}
	}
	spec.Env = mergeEnv(t.process.Env, term, o.Env)
	return spec, nil
}

// handOver gives the process to the monitor while it is still being made: if nothing comes of it, the monitor tells the
// end of a session that nobody knows.
func (e *Engine) handOver(ctx context.Context, t *target, p launch.Begun, o ExecOptions) error {
	e.crash(execMade)
	x := t.session
	err := e.o.Monitor.Session(ctx, monitor.Session{
		ID: t.s.id, Key: x.ID, PID: p.PID(), Pidfd: p.Pidfd(), Started: x.Started, Status: o.Status, Report: true,
		Label: x.label(t.why),
	})
	if err == nil {
		e.crash(execAdopted)
	}
	t.joined()
	return err
}

// begin releases the process.
func (e *Engine) begin(ctx context.Context, t *target, p parked) (*Execution, error) {
	x := &Execution{Session: t.session}
	x.PID = p.PID()
	var err error
	if x.Pty, err = dup(p.Pty()); err == nil {
		x.Pidfd, err = dup(p.Pidfd())
	}
	if err != nil {
		t.forgetSession()
		closeAll(x.Pty, x.Pidfd)
		return nil, err
	}
	shown := make(chan struct{})
	if !t.s.queue.put(func() { t.s.sessionBegan(x.Session); close(shown) }) {
		shown = nil // the container is gone
	}
	if err := p.Run(ctx); err != nil { // the monitor tells its end
		closeAll(x.Pty, x.Pidfd)
		return nil, err
	}
	e.crash(execRunning)
	if shown != nil { // who has it finds it listed
		select {
		case <-shown:
		case <-t.s.done:
		}
	}
	return x, nil
}
