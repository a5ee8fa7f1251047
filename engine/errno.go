package engine

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"hull/engine/cgroup"
	"hull/engine/launch"
	"hull/engine/network"
	"hull/engine/volume"
)

// kindOfErrno is the kind of a failed system call or of a stranger's error. It looks at values, never at texts.
func kindOfErrno(err error) Kind {
	var e *Error
	var l *launch.Error
	var g *cgroup.Error
	var v *volume.Error
	var n *network.Error
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.As(err, &v):
		return kindOfVolume(v.Kind)
	case errors.As(err, &n):
		return kindOfNetwork(n.Kind)
	case errors.As(err, &l):
		return kindOfLaunch(l.Kind)
	case errors.As(err, &g):
		return kindOfGroup(g.Kind)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return Space
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Interrupted
	case errors.Is(err, fs.ErrPermission):
		return Denied
	}
	return System
}

func kindOfLaunch(k launch.Kind) Kind {
	switch k {
	case launch.NotFound:
		return NotCommand
	case launch.NotExecutable:
		return NotExecutable
	case launch.Invalid, launch.Hostile:
		return Invalid
	case launch.Unsupported:
		return Unsupported
	case launch.Gone:
		return NotRunning
	case launch.Cancelled:
		return Interrupted
	case launch.Space:
		return Space
	case launch.System:
		return System
	}
	return System
}

func kindOfGroup(k cgroup.Kind) Kind {
	switch k {
	case cgroup.Invalid:
		return Invalid
	case cgroup.Busy:
		return Busy
	case cgroup.Unsupported:
		return Unsupported
	case cgroup.System, cgroup.NotFound, cgroup.Exists: // hull makes and removes them
	}
	return System
}

func kindOfNetwork(k network.Kind) Kind {
	switch k {
	case network.Invalid:
		return Invalid
	case network.NotFound:
		return NotFound
	case network.Exists:
		return Exists
	case network.Busy:
		return Busy
	case network.Denied:
		return NeedsRoot
	case network.Taken:
		return InUse
	case network.Full:
		return Space
	case network.Unsupported:
		return Unsupported
	case network.Interrupted:
		return Interrupted
	case network.System:
		return System
	}
	return System
}

func kindOfVolume(k volume.Kind) Kind {
	switch k {
	case volume.Invalid:
		return Invalid
	case volume.NotFound:
		return NotFound
	case volume.Exists:
		return Exists
	case volume.Busy:
		return Busy
	case volume.NotEmpty:
		return NotEmpty
	case volume.Space:
		return Space
	case volume.Interrupted:
		return Interrupted
	case volume.System:
		return System
	}
	return System
}

// asError makes an error of a package below one of this package.
func asError(op string, err error) error {
	var e *Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return &Error{Op: op, Kind: kindOfErrno(err), Err: err}
}

// errorsJoin joins errors and keeps the kind of the first.
func errorsJoin(first, second error) error {
	switch {
	case second == nil:
		return first
	case first == nil:
		return second
	}
	return &Error{Kind: kindOfErrno(first), Err: errors.Join(first, second)}
}
