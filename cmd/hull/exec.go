package main

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"hull/engine"
	"hull/engine/monitor"
	"hull/fs"
	"hull/fs/session"
)

// exec runs a command of a container's PATH in it, with the caller's own pipes
// and files, or on a terminal made in the container.
func (v verbs) exec(ctx context.Context, c *session.Call) (*session.Answer, error) {
	return v.execute(ctx, c, engine.ExecOptions{Command: append([]string{c.Name}, c.Args...)})
}

// enter runs any command in a container, with docker exec's flags.
func (v verbs) enter(ctx context.Context, c *session.Call) (*session.Answer, error) {
	o := engine.ExecOptions{Command: c.Args, Privileged: on(c, "privileged")}
	if o.Privileged && !fs.Credential(c.By).Root() { // the container has to be root's as well, which the engine knows
		return nil, &fs.Error{Op: "enter", Object: "containers/" + c.Object, Kind: fs.Forbidden, Sentence: fmt.Sprintf("--privileged is for root to use, and you are user %d.", c.By.UID)}
	}
	o.User, _ = c.Option("user")
	o.Dir, _ = c.Option("workdir")
	for _, x := range c.Options {
		if x.Name == "env" {
			o.Env = append(o.Env, x.Value)
		}
	}
	if !on(c, "detach") {
		return v.execute(ctx, c, o)
	}
	x, err := v.engine.Exec(ctx, c.Object, o)
	if err != nil {
		return nil, err
	}
	closeFiles(x.Pty, x.Pidfd)
	return &session.Answer{}, nil
}

// execute runs a command for a caller who waits for it.
func (v verbs) execute(ctx context.Context, c *session.Call, o engine.ExecOptions) (*session.Answer, error) {
	near, far, err := monitor.NewStatus()
	if err != nil {
		return nil, err
	}
	defer far.Close()
	o.Status, o.Terminal = far, c.Device
	o.Stdin, o.Stdout, o.Stderr = c.Stdio[0], c.Stdio[1], c.Stdio[2]
	if t := c.Terminal; t != nil {
		o.TTY, o.Rows, o.Cols, o.Term = true, t.Rows, t.Cols, t.Term
	}
	x, err := v.engine.Exec(ctx, c.Object, o)
	if err != nil {
		near.Close()
		return nil, err
	}
	answer := &session.Answer{Status: near, Pty: x.Pty, Pidfd: x.Pidfd}
	if x.Pty == nil {
		// What an answer holds is closed when the helper has it: signals come later.
		kept, err := duplicate(x.Pidfd)
		if err != nil {
			closeFiles(near, x.Pidfd)
			return nil, err
		}
		answer.Signal = (&engine.Execution{Pidfd: kept}).Signal
		answer.Gone = func(context.Context) { kept.Close() }
	}
	return answer, nil
}

func closeFiles(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}

func duplicate(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
