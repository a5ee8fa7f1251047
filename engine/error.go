package engine

import (
	"fmt"

	"hull/engine/internal/fault"
)

// Kind says what an error means to whoever asked, so that a caller (the tree's errno table above all)
// never has to look at an error's text.
type Kind int

// The kinds. Every error that leaves this package has one.
const (
	System        Kind = iota // the machine or hull itself failed: a disk error, a bug
	Invalid                   // the request is malformed: a bad name, setting, signal
	NotFound                  // no such container, image, setting
	Exists                    // the name is taken
	Busy                      // in use, in a way that ends by itself or by another action
	Denied                    // a file permission or a registry said no
	NeedsRoot                 // only a container owned by root may do this
	NotRunning                // it needs a running container
	Running                   // it needs a stopped container
	NotExecutable             // the command is there and cannot be executed (exit code 126)
	NotCommand                // the command does not exist (exit code 127)
	Space                     // the disk is full
	Removed                   // the container is gone; it was there when the caller looked
	Interrupted               // the caller stopped waiting; accepted work goes on
	NotEmpty                  // there are files in it that would be lost
	Unsupported               // this kernel or this release cannot do it
	InUse                     // somebody else has the port or the address
	kinds
)

var kindNames = [...]string{
	System: "system", Invalid: "invalid", NotFound: "not found", Exists: "exists", Busy: "busy",
	Denied: "denied", NeedsRoot: "needs root", NotRunning: "not running", Running: "running",
	NotExecutable: "not executable", NotCommand: "command not found", Space: "no space",
	Removed: "removed", Interrupted: "interrupted", NotEmpty: "not empty", Unsupported: "unsupported",
	InUse: "address in use",
}

// Kinds lists every kind, for tables that must have a row for each.
func Kinds() []Kind {
	all := make([]Kind, kinds)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("kind %d", int(k))
	}
	return kindNames[k]
}

// ExitCode is what a helper exits with when a request failed in this way, as Docker's does.
func (k Kind) ExitCode() int {
	switch k {
	case NotExecutable:
		return 126
	case NotCommand:
		return 127
	default:
		return 125
	}
}

// Error is every error of this package; Of is the ID of a container.
type Error = fault.Error[Kind]

// KindOf answers the kind of any error of this package, and System for a stranger.
func KindOf(err error) Kind { return fault.KindOf(err, System) }

// fail makes an Error from a sentence; a %w in it stays visible to errors.Is.
func fail(op, id string, kind Kind, format string, args ...any) error {
	return fault.New(op, id, kind, format, args...)
}
