package union

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Kind says what sort of failure an [Error] is.
type Kind int

// The kinds of failure.
const (
	System      Kind = iota // the kernel refused, for a reason of its own
	Unsupported             // this kernel, or the store's file system, cannot do it
	Limit                   // more layers than overlay takes
	Space                   // the disk or a quota is full
	Busy                    // upper or work are in use by another mount
	Unmapped                // the store's file system cannot show its files under other users' ids
)

// String names the kind.
func (k Kind) String() string {
	switch k {
	case System:
		return "system"
	case Unsupported:
		return "unsupported"
	case Limit:
		return "limit"
	case Space:
		return "no space"
	case Busy:
		return "busy"
	case Unmapped:
		return "unmapped"
	}
	return fmt.Sprintf("kind %d", int(k))
}

// Error is why a union could not be mounted.
type Error struct {
	Op   string // what was being done, as "id-mapping a layer"
	Kind Kind
	Err  error
	Log  string // what the kernel itself said about it, where it said something
}

// Error is a sentence for people.
func (e *Error) Error() string {
	s := fmt.Sprintf("the image's layers could not be put together: %s: %v", e.Op, e.Err)
	if e.Log != "" {
		s += " (the kernel says: " + e.Log + ")"
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

func failed(op string, err error) error {
	if err == nil {
		return nil
	}
	if known, ok := errors.AsType[*Error](err); ok {
		return known
	}
	return &Error{Op: op, Kind: kindOf(err), Err: err}
}

func kindOf(err error) Kind {
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return Space
	case errors.Is(err, unix.EBUSY):
		return Busy
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.ENODEV), errors.Is(err, unix.EOPNOTSUPP):
		return Unsupported
	}
	return System
}

// readLog takes the messages out of a file system context: one a read, each
// beginning with its level ("e overlay: …").
func readLog(context int) string {
	var lines []string
	for range 16 {
		buf := make([]byte, 512)
		n, err := unix.Read(context, buf)
		if err != nil || n <= 0 {
			break
		}
		line := strings.TrimSpace(string(buf[:n]))
		if len(line) > 2 && line[1] == ' ' {
			line = line[2:]
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "; ")
}
