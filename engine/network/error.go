package network

import (
	"context"
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"hull/engine/internal/fault"
)

// Kind says what an error means to whoever asked.
type Kind int

// The kinds.
const (
	System      Kind = iota // the machine failed
	Invalid                 // no network, address or port can be like that
	NotFound                // there is no such network
	Exists                  // the name or the subnet is taken
	Busy                    // containers are on it
	Denied                  // it is never allowed
	Taken                   // somebody else has the address or the port
	Full                    // the subnet, the bridge or the range of ports has none left; the disk is full
	Unsupported             // the kernel lacks something
	Interrupted             // the context ended
)

// Error is every error of this package; Of is the name of a network.
type Error = fault.Error[Kind]

// KindOf answers the kind of any error of this package, and System for a stranger.
func KindOf(err error) Kind { return fault.KindOf(err, System) }

func fail(op, network string, kind Kind, format string, args ...any) error {
	return fault.New(op, network, kind, format, args...)
}

// failed is fail for what a system call said.
func failed(op, network string, err error, format string, args ...any) error {
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	return fail(op, network, kindOf(err), format+": %w", append(args, err)...)
}

func kindOf(err error) Kind {
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return Full
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Interrupted
	case errors.Is(err, fs.ErrNotExist):
		return NotFound
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EPROTONOSUPPORT):
		return Unsupported
	case errors.Is(err, unix.EADDRINUSE):
		return Taken
	}
	return System
}
