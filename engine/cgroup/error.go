package cgroup

import "errors"

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

// Error is a failure of this package, a sentence for users.
type Error struct {
	Op    string
	Group string
	Kind  Kind
	Err   error
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// IsKind says whether err is an *Error of that kind.
func IsKind(err error, k Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == k
}
