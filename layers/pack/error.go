package pack

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
	System      Kind = iota // a system call failed
	Unsupported             // the directory holds what a layer cannot say
	TooLarge                // a limit was passed
	Space                   // the disk that is written to is full
	Write                   // the caller's writer failed otherwise: its reader has gone, perhaps
	Cancelled               // the context ended
)

// String names the kind.
func (k Kind) String() string {
	switch k {
	case System:
		return "system"
	case Unsupported:
		return "unsupported"
	case TooLarge:
		return "too large"
	case Space:
		return "no space"
	case Write:
		return "write"
	case Cancelled:
		return "cancelled"
	}
	return fmt.Sprintf("kind %d", int(k))
}

// Error is why a directory could not be packed.
type Error struct {
	Path string // the file at fault, relative to the directory; empty where there is none
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
	case Unsupported:
		return fmt.Sprintf("the files cannot be made a layer%s: %v", at, e.Err)
	case TooLarge:
		return fmt.Sprintf("the files are too many or too large%s: %v", at, e.Err)
	case Space:
		return fmt.Sprintf("the disk filled up while the files were packed%s: %v", at, e.Err)
	case Write:
		return fmt.Sprintf("the packed files could not be written%s: %v", at, e.Err)
	case Cancelled:
		return fmt.Sprintf("packing was stopped%s: %v", at, e.Err)
	case System:
	}
	return fmt.Sprintf("the files could not be packed%s: %v", at, e.Err)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// failed makes an Error of what went wrong at a file; an Error stays as it is.
func failed(path string, err error) error {
	if err == nil {
		return nil
	}
	if known, ok := errors.AsType[*Error](err); ok {
		return known
	}
	kind := System
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		kind = Cancelled
	}
	return &Error{Path: path, Kind: kind, Err: err}
}

func writeKind(err error) Kind {
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return Space
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Cancelled
	}
	return Write
}

func unsupported(path, format string, a ...any) error {
	return &Error{Path: path, Kind: Unsupported, Err: fmt.Errorf(format, a...)}
}

func tooLarge(path, format string, a ...any) error {
	return &Error{Path: path, Kind: TooLarge, Err: fmt.Errorf(format, a...)}
}
