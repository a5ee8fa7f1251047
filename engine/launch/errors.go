package launch

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"hull/engine/child"
	"hull/engine/plan"
)

// Kind says what sort of thing went wrong; nothing ever decides by an error's
// text.
type Kind int

const (
	// System is a failure of the kernel or this machine that is none of the
	// others.
	System Kind = iota
	// NotFound: there is no such command (or its interpreter) in the
	// container. Exit code 127.
	NotFound
	// NotExecutable: the command is there but cannot be run. Exit code 126.
	NotExecutable
	// Invalid: a setting does not fit this image (an unknown user, a working
	// directory that is a file).
	Invalid
	// Hostile: the image holds something that would lead the start astray (a
	// symbolic link where /proc belongs, a passwd file without end).
	Hostile
	// Unsupported: this kernel cannot do what the setting asks for.
	Unsupported
	// Gone: the container (or the parked process) ended meanwhile.
	Gone
	// Cancelled: the caller's context ended.
	Cancelled
	// Space: the file system or the machine is full.
	Space
)

// Error is the only type of error this package returns.
type Error struct {
	Op   string // the step that failed, for the log: "mount proc"
	Kind Kind
	Text string // a whole sentence, for the user
	Err  error  // the cause, perhaps nil
}

func (e *Error) Error() string {
	if e.Text != "" {
		return e.Text
	}
	return fmt.Sprintf("%s: %v", e.Op, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// ExitCode is the code a shell would give: 127 for a command that is not
// there, 126 for one that cannot be run, 125 for everything that is hull's.
func (e *Error) ExitCode() int {
	if e.Kind == NotFound {
		return 127
	}
	if e.Kind == NotExecutable {
		return 126
	}
	return 125
}

// stepError is a failure before it is explained.
type stepError struct {
	op  string
	err error
}

func (e *stepError) Error() string { return fmt.Sprintf("%s: %v", e.op, e.err) }

func (e *stepError) Unwrap() error { return e.err }

// explain makes an *Error of whatever went wrong on the way to the command
// args in dir.
func explain(ctx context.Context, err error, args []string, dir string) error {
	var known *Error
	var failed *child.Failure
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	case ctx.Err() != nil:
		return &Error{Op: "start", Kind: Cancelled, Text: "the start was cancelled", Err: ctx.Err()}
	case errors.Is(err, child.ErrGone):
		return &Error{Op: "start", Kind: Gone, Text: "the process was killed before its command ran", Err: err}
	case errors.As(err, &failed):
		return explainStep(failed, args, dir)
	}
	e := &Error{Op: "start", Kind: kindOf(err), Err: err, Text: fmt.Sprintf("the process cannot be started: %v", err)}
	if step, ok := errors.AsType[*stepError](err); ok {
		e.Op = step.op
		e.Text = fmt.Sprintf("hull cannot %s: %v", step.op, step.err)
	}
	return e
}

// explainSpawn is about a process that could not even be made.
func explainSpawn(err error) error {
	e := &Error{Op: "make a process", Kind: kindOf(err), Err: err}
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EUSERS):
		e.Kind = Space
		e.Text = "the kernel's limit of namespaces is reached: raise user.max_user_namespaces and its like with sysctl, or stop containers"
	case errors.Is(err, unix.EAGAIN):
		e.Text = "the limit of processes is reached, this user's or the machine's: stop some"
	case errors.Is(err, unix.EPERM):
		e.Kind = Unsupported
		e.Text = "this machine does not let hull make namespaces (is it in a container itself, or are user namespaces turned off?): see hull doctor"
	default:
		e.Text = fmt.Sprintf("hull cannot make a process: %v", err)
	}
	return e
}

// explainStep is about a call that failed inside.
func explainStep(f *child.Failure, args []string, dir string) error {
	e := &Error{Op: f.Step.What, Kind: kindOf(f.Errno), Err: f}
	switch plan.Kind(f.Step.Kind) {
	case plan.Command:
		// It was there when it was looked up.
		if errors.Is(f.Errno, unix.ENOENT) {
			return missingInterpreter(args[0])
		}
		return refuse(args[0], f.Errno)
	case plan.Workdir:
		if e.Kind != Space {
			e.Kind = Invalid
		}
		e.Text = fmt.Sprintf("the working directory %s cannot be entered: %v", shortened(dir), f.Errno)
	case plan.Place:
		if e.Kind == Space {
			e.Text = fmt.Sprintf("hull cannot %s: %v", f.Step.What, f.Errno)
			break
		}
		e.Kind = Hostile
		e.Text = fmt.Sprintf("hull cannot %s: what the image has there is in the way (%v)", f.Step.What, f.Errno)
	case plan.Asked:
		e.Kind = Invalid
		e.Text = fmt.Sprintf("hull cannot %s, as a setting asks: %v", f.Step.What, f.Errno)
		if f.Errno == unix.ENOENT || f.Errno == unix.EACCES || f.Errno == unix.EPERM {
			e.Text += " (this kernel has it not, or not for a container with users of its own)"
		}
	case plan.Setup:
		e.Text = fmt.Sprintf("hull cannot %s: %v", f.Step.What, f.Errno)
		if e.Kind == Unsupported || f.Errno == unix.EPERM {
			e.Kind = Unsupported
			e.Text += " (hull doctor tells what this machine lacks)"
		}
	}
	return e
}

// kindOf sorts the errno of the machine's failures.
func kindOf(err error) Kind {
	switch {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENODEV), errors.Is(err, unix.EOPNOTSUPP):
		return Unsupported
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.ENOMEM), errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.EAGAIN):
		return Space
	case errors.Is(err, unix.ESRCH):
		return Gone
	}
	return System
}
