package cgroup

import (
	"errors"

	"hull/engine/internal/fault"
)

// Kind says what sort of failure an Error is.
type Kind uint8

// The kinds of failure.
const (
	System      Kind = iota // the kernel refused
	Invalid                 // a name or limit that cannot be
	NotFound                // no such group
	Exists                  // the group is there already
	Busy                    // processes are still in it
	Unsupported             // this host has not got the controller
)

// Error is every error of this package; Of is the ID of a group.
type Error = fault.Error[Kind]

func fail(op, group string, kind Kind, format string, args ...any) error {
	return fault.New(op, group, kind, format, args...)
}

// IsKind says whether err is an *Error of that kind.
func IsKind(err error, k Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == k
}
