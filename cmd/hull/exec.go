package main

import (
	"context"
	"os"

	"golang.org/x/sys/unix"

	"hull/engine"
	"hull/engine/monitor"
	"hull/fs/session"
)

// exec runs a command of a container's PATH in it, with the caller's own pipes
// and files, or on a terminal made in the container.
func (v verbs) exec(ctx context.Context, c *session.Call) (*session.Answer, error) {
	near, far, err := monitor.NewStatus()
	if err != nil {
		return nil, err
	}
	defer far.Close()
	o := engine.ExecOptions{
		Command: append([]string{c.Name}, c.Args...),
		Stdin:   c.Stdio[0], Stdout: c.Stdio[1], Stderr: c.Stdio[2],
		Status: far,
	}
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
			near.Close()
			x.Pidfd.Close()
			return nil, err
		}
		answer.Signal = (&engine.Execution{Pidfd: kept}).Signal
		answer.Gone = func(context.Context) { kept.Close() }
	}
	return answer, nil
}

func duplicate(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
