package archive

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"hull/layers/unpack"
)

// Kind says what sort of failure an [Error] is.
type Kind int

// The kinds of failure.
const (
	System      Kind = iota // a system call failed, or the stream's reader did
	Hostile                 // what only an attack holds
	Corrupt                 // damaged, incomplete, or contradicting itself
	Unsupported             // not an archive of images, or of a form that hull does not read
	Platform                // only images of other platforms, to choose from
	TooLarge                // a limit was passed
	Space                   // the disk is full
	Write                   // the caller's writer failed: its reader has gone, perhaps
	Cancelled               // the context ended
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
	case Unsupported:
		return "unsupported"
	case Platform:
		return "platform"
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

// Error is why an archive could not be read or written.
type Error struct {
	Entry string // the file in the archive at fault, or a digest; empty where there is none
	Kind  Kind
	Err   error
}

// Error is a sentence for people.
func (e *Error) Error() string {
	at := ""
	if e.Entry != "" {
		at = fmt.Sprintf(" at %q", printable(e.Entry))
	}
	switch e.Kind {
	case Hostile:
		return fmt.Sprintf("the archive was refused%s: %v", at, e.Err)
	case Corrupt:
		return fmt.Sprintf("the archive is damaged%s: %v", at, e.Err)
	case Unsupported, Platform:
		return fmt.Sprintf("the archive cannot be used%s: %v", at, e.Err)
	case TooLarge:
		return fmt.Sprintf("the archive is too large%s: %v", at, e.Err)
	case Space:
		return fmt.Sprintf("the disk filled up during the archive's transfer%s: %v", at, e.Err)
	case Write:
		return fmt.Sprintf("the archive could not be written%s: %v", at, e.Err)
	case Cancelled:
		return fmt.Sprintf("the archive's transfer was stopped%s: %v", at, e.Err)
	case System:
	}
	return fmt.Sprintf("the archive could not be handled%s: %v", at, e.Err)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// printable shortens what a stranger wrote.
func printable(s string) string {
	if len(s) > 120 {
		return s[:120] + "…"
	}
	return s
}

// failed makes an Error of what went wrong at a file; an Error stays as it is.
func failed(entry string, err error) error {
	var (
		known  *Error
		inside *unpack.Error
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	case errors.As(err, &inside): // of the compression around the whole archive
		kinds := map[unpack.Kind]Kind{
			unpack.Hostile: Hostile, unpack.Corrupt: Corrupt, unpack.TooLarge: TooLarge,
			unpack.Space: Space, unpack.Cancelled: Cancelled,
		}
		return &Error{Entry: entry, Kind: kinds[inside.Kind], Err: inside.Err}
	}
	kind := System
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		kind = Cancelled
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		kind = Space
	case errors.Is(err, unix.EFBIG):
		kind = TooLarge
	}
	return &Error{Entry: entry, Kind: kind, Err: err}
}

func problem(kind Kind, entry, format string, a ...any) error {
	return &Error{Entry: entry, Kind: kind, Err: fmt.Errorf(format, a...)}
}
