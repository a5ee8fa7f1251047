package registries

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Kind is the sort of a failure: what a caller decides by.
type Kind int

// The kinds of failures.
const (
	System   Kind = iota // a broken disk, or a bug
	Invalid              // no registry's name, or a bad value
	NotFound             // not known
	Exists               // known already
	Fixed                // docker.io stays
	Space                // the disk is full
)

// Kinds lists every kind, for the test that demands an errno for each.
func Kinds() []Kind { return []Kind{System, Invalid, NotFound, Exists, Fixed, Space} }

// Error is a failure to keep something about a registry.
type Error struct {
	Op     string // "add", "remove", "set"
	Domain string
	Kind   Kind
	Err    error
}

// Error is one sentence.
func (e *Error) Error() string {
	return fmt.Sprintf("cannot %s the registry %q: %v", e.Op, e.Domain, e.Err)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

func failf(op, domain string, k Kind, format string, args ...any) *Error {
	return &Error{Op: op, Domain: domain, Kind: k, Err: fmt.Errorf(format, args...)}
}

// KindOf is the kind of an error.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return Space
	case errors.As(err, &e):
		return e.Kind
	}
	return System
}
