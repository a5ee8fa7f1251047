package launch

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"hull/engine/plan"
)

// withFileLimit adds a limit of descriptors to those that are wanted, if they
// do not name it: the kernel's default of 1024, because Go has raised our own
// to the hard limit, which stays.
func withFileLimit(wanted []plan.Limit) ([]plan.Limit, error) {
	if slices.ContainsFunc(wanted, func(l plan.Limit) bool { return l.Resource == unix.RLIMIT_NOFILE }) {
		return wanted, nil
	}
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return nil, os.NewSyscallError("getrlimit", err)
	}
	own := plan.Limit{Name: "nofile", Resource: unix.RLIMIT_NOFILE, Soft: min(1024, l.Max), Hard: l.Max}
	return append([]plan.Limit{own}, wanted...), nil
}

// raise gives a process that has not begun the hard limits that are above its
// own, which nobody may from inside a user namespace.
func (p *Parked) raise(limits []plan.Limit) error {
	for _, l := range limits {
		var own unix.Rlimit
		if err := unix.Prlimit(p.stub.PID, l.Resource, nil, &own); err != nil {
			return &stepError{op: "read limits", err: err}
		}
		if l.Hard <= own.Max {
			continue
		}
		err := unix.Prlimit(p.stub.PID, l.Resource, &unix.Rlimit{Cur: own.Cur, Max: l.Hard}, nil)
		if errors.Is(err, unix.EPERM) {
			return &Error{
				Op: "raise a limit", Kind: Unsupported, Err: err,
				Text: fmt.Sprintf("the limit %s cannot be raised to %d: %d is the most here, and hull lacks the right to raise it (CAP_SYS_RESOURCE, or a kernel's own maximum); write a lower one into config/ulimits", l.Name, int64(l.Hard), own.Max),
			}
		}
		if err != nil {
			return &stepError{op: "raise the limit " + l.Name, err: err}
		}
	}
	return nil
}
