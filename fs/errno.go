package fs

import (
	"context"
	"errors"
	"syscall"
)

// kinds gives each Kind its name in events and its errno. EIO is only for a broken disk or a bug; ESTALE, EXDEV and
// the like have meanings of their own to the kernel and to coreutils, so no row may be changed for convenience:
// mv copies and deletes on EXDEV, and the kernel looks a path up again on ESTALE.
var kinds = [kindCount]struct {
	name  string
	errno syscall.Errno
}{
	System:        {"system", syscall.EIO},
	Invalid:       {"invalid", syscall.EINVAL},
	NotFound:      {"not found", syscall.ENOENT},
	Exists:        {"exists", syscall.EEXIST},
	Busy:          {"busy", syscall.EBUSY},
	NotRunning:    {"not running", syscall.ESRCH},
	Denied:        {"denied", syscall.EACCES},
	Forbidden:     {"forbidden", syscall.EPERM},
	NotEmpty:      {"not empty", syscall.ENOTEMPTY},
	Space:         {"no space", syscall.ENOSPC},
	NotExecutable: {"not executable", syscall.ENOEXEC},
	Unreachable:   {"unreachable", syscall.ENETUNREACH},
	Timeout:       {"timeout", syscall.ETIMEDOUT},
	Refused:       {"refused", syscall.ECONNREFUSED},
	InUse:         {"address in use", syscall.EADDRINUSE},
	Removed:       {"removed", syscall.ESTALE},
	Interrupted:   {"interrupted", syscall.EINTR},
	Corrupt:       {"corrupt", syscall.EBADMSG},
	Unsupported:   {"unsupported", syscall.EOPNOTSUPP},
}

// KindOf returns what a failure means. An error that is no [Error] is System, but for a context's end.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, context.Canceled):
		return Interrupted
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	}
	return System
}

// Errno returns the errno of a failure; 0 for none.
func Errno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	k := KindOf(err)
	if k >= kindCount {
		k = System
	}
	return kinds[k].errno
}

// Sentence returns what a failure says to a person: one line that ends with a full stop.
func Sentence(err error) string {
	if err == nil {
		return ""
	}
	return sentence(err.Error())
}
