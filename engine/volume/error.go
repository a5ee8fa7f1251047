package volume

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"hull/engine/internal/fault"
)

// Kind says what an error means to whoever asked.
type Kind int

// The kinds.
const (
	System      Kind = iota // the machine failed
	Invalid                 // no volume can have that name
	NotFound                // there is no such volume
	Exists                  // the name is taken
	Busy                    // containers use it
	NotEmpty                // there are files in it
	Space                   // the disk is full
	Interrupted             // the context ended
)

// Error is every error of this package; Of is the name of a volume.
type Error = fault.Error[Kind]

func fail(op, name string, kind Kind, format string, args ...any) error {
	return fault.New(op, name, kind, format, args...)
}

// failed is fail for what a system call said.
func failed(op, name string, err error, format string, args ...any) error {
	return fail(op, name, kindOf(err), format+": %w", append(args, err)...)
}

func kindOf(err error) Kind {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return Space
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Interrupted
	case errors.Is(err, fs.ErrNotExist):
		return NotFound
	}
	return System
}
