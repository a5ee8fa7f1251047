package launch

import (
	"context"
	"errors"
	"os"

	"hull/engine/child"
)

// Parked is a process that is complete but for its execve, which waits for
// Run. It belongs to one goroutine at a time.
type Parked struct {
	stub     *child.Stub
	users    *os.File
	root     *os.File
	network  *os.File
	pty      *os.File
	args     []string
	dir      string
	released bool
	ran      bool // the command runs: it is nobody's business here any more
	buried   bool
	bury     func(pidfd *os.File) // has it waited for, and closes its pidfd
}

// Begun is a Parked that has not come so far yet.
type Begun interface {
	PID() int
	Pidfd() *os.File
	Pty() *os.File
	Root() *os.File
	Network() *os.File
	Release(ctx context.Context) error
}

// Release lets the process execute its command as soon as it has come so far,
// without a Run, which then only tells what became of it.
func (p *Parked) Release(ctx context.Context) error {
	p.released = true
	err := p.stub.Continue(ctx)
	if errors.Is(err, child.ErrGone) { // why, the next word from it says
		return nil
	}
	return err
}

// PID is the process's number in this process's pid namespace.
func (p *Parked) PID() int { return p.stub.PID }

// Pidfd refers to the process. It belongs to the Parked, until Close.
func (p *Parked) Pidfd() *os.File { return p.stub.Pidfd }

// Pty is the master of the process's terminal, nil without one. It belongs to
// the Parked, until Close. Its file description is blocking.
func (p *Parked) Pty() *os.File { return p.pty }

// Users is the container's user namespace, nil with the host's users and for
// an Exec. It belongs to the Parked, until Close.
func (p *Parked) Users() *os.File { return p.users }

// Root is the mount that Spec.Root returned, nil for an Exec. It belongs to
// the Parked, until Close.
func (p *Parked) Root() *os.File { return p.root }

// Network is the process's own network namespace, nil if that is another's, and
// for an Exec. It belongs to the Parked, until Close.
func (p *Parked) Network() *os.File { return p.network }

// Run releases the process. It returns nil once the command runs. An *Error
// of kind NotFound or NotExecutable says why it could not be executed; the
// process has then exited by itself with the error's ExitCode, and its parent
// sees that. One of kind Gone: it was killed before.
func (p *Parked) Run(ctx context.Context) error {
	var err error
	if !p.released {
		err = p.stub.Continue(ctx)
	}
	if err == nil {
		// The socket closes with the execve, or with the process's death;
		// then there is no message, and whoever waits for the process learns
		// which it was.
		if _, err = p.stub.Await(ctx); errors.Is(err, child.ErrGone) {
			p.ran = true
			p.stub.Forget()
			return nil
		}
	}
	return explain(ctx, err, p.args, p.dir)
}

// Abort kills a process that has not been run, or whose Run has failed. The
// Launcher waits for it, or its Reap does. After a Run that succeeded, and a
// second time, it does nothing.
func (p *Parked) Abort() {
	if p.ran || p.buried {
		return
	}
	p.buried = true
	_ = p.stub.Kill() // it may have ended
	p.bury(p.stub.Pidfd)
}

// Close gives all descriptors back. A process that runs runs on; one that was
// neither run nor aborted ends, and its parent has to wait for it.
func (p *Parked) Close() error {
	err := p.stub.Close()
	if !p.buried {
		err = errors.Join(err, p.stub.Pidfd.Close())
	}
	for _, f := range []*os.File{p.users, p.root, p.network, p.pty} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}
