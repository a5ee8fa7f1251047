// Package fault has the form of the errors of the engine and of the packages below it. Each has kinds of its own, so that
// an error of one is never taken for another's, and a caller never has to look at an error's text.
package fault

import (
	"errors"
	"fmt"
)

// Error is every error of a package whose kinds are K. Its text is a sentence for people: what failed, why, what to do.
type Error[K any] struct {
	Op   string // the action: "start", "create" …
	Of   string // what it was done to: a container's ID, the name of a network …; empty if there is none yet
	Kind K
	Err  error // the sentence, or what lies beneath it
}

func (e *Error[K]) Error() string { return e.Err.Error() }

func (e *Error[K]) Unwrap() error { return e.Err }

// New makes an Error from a sentence; a %w in it stays visible to errors.Is.
func New[K any](op, of string, kind K, format string, args ...any) error {
	return &Error[K]{Op: op, Of: of, Kind: kind, Err: fmt.Errorf(format, args...)}
}

// KindOf answers the kind of an error of the package whose kinds are K, and that of a stranger for any other.
func KindOf[K any](err error, stranger K) K {
	if e, ok := errors.AsType[*Error[K]](err); ok {
		return e.Kind
	}
	return stranger
}
