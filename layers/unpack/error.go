package unpack

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Kind says what sort of failure an [Error] is.
type Kind int

// The kinds of failure.
const (
	System    Kind = iota // the machine's fault: a system call or the source failed
	Hostile               // the layer holds what only an attack on the store holds
	Corrupt               // the layer is not a layer: a damaged stream, or entries that contradict each other
	TooLarge              // a limit was passed
	Space                 // the disk or a quota is full
	Cancelled             // the context ended
)

// String names the kind.
func (k Kind) String() string {
	switch k {
	case System:
		return "system"
	case Hostile:
		return "hostile"
	case Corrupt:
		return "corrupt"
	case TooLarge:
		return "too large"
	case Space:
		return "no space"
	case Cancelled:
		return "cancelled"
	}
	return fmt.Sprintf("kind %d", int(k))
}

// Error is why a layer could not be unpacked.
type Error struct {
	Path string // the entry at fault, as the layer spells it; empty where there is none
	Kind Kind
	Err  error
}

// Error is a sentence for people.
func (e *Error) Error() string {
	at := ""
	if e.Path != "" {
		at = fmt.Sprintf(" at %q", e.Path)
	}
	switch e.Kind {
	case Hostile:
		return fmt.Sprintf("the layer was refused%s: %v", at, e.Err)
	case Corrupt:
		return fmt.Sprintf("the layer is damaged%s: %v", at, e.Err)
	case TooLarge:
		return fmt.Sprintf("the layer is too large%s: %v", at, e.Err)
	case Space:
		return fmt.Sprintf("the disk filled up while the layer was unpacked%s: %v", at, e.Err)
	case Cancelled:
		return fmt.Sprintf("unpacking was stopped%s: %v", at, e.Err)
	case System:
	}
	return fmt.Sprintf("the layer could not be unpacked%s: %v", at, e.Err)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// failed makes an Error of what went wrong at an entry; an Error stays as it is.
func failed(path string, err error) error {
	if err == nil {
		return nil
	}
	if known, ok := errors.AsType[*Error](err); ok {
		if known.Path == "" && path != "" {
			return &Error{Path: path, Kind: known.Kind, Err: known.Err}
		}
		return known
	}
	return &Error{Path: path, Kind: kindOf(err), Err: err}
}

// kindOf sorts an error of the kernel or of a context.
func kindOf(err error) Kind {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Cancelled
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return Space
	case errors.Is(err, unix.EFBIG):
		return TooLarge
	}
	return System
}

func hostile(path, format string, a ...any) error {
	return &Error{Path: path, Kind: Hostile, Err: fmt.Errorf(format, a...)}
}

func corrupt(path, format string, a ...any) error {
	return &Error{Path: path, Kind: Corrupt, Err: fmt.Errorf(format, a...)}
}

func tooLarge(path, format string, a ...any) error {
	return &Error{Path: path, Kind: TooLarge, Err: fmt.Errorf(format, a...)}
}
