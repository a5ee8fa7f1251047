package layers

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"hull/layers/archive"
	"hull/layers/pack"
	"hull/layers/reference"
	"hull/layers/registry"
	"hull/layers/union"
	"hull/layers/unpack"
)

// Kind says what sort of failure an Error is, so that callers (and the tree's
// table of errnos) never have to read its text.
type Kind int

// The kinds of failures of the store.
const (
	System      Kind = iota // a broken disk, or a bug
	Invalid                 // a reference that cannot be parsed, or a name that cannot be used like this
	NotFound                // no such image here, or in the registry
	Exists                  // the name is taken
	Busy                    // in use by a container, by a pull, or by another daemon
	Denied                  // the registry wants other credentials
	Unavailable             // the registry cannot be reached
	Timeout                 // the registry does not answer
	Corrupt                 // content that does not match its digest, or a hostile layer
	Platform                // no image for this machine's platform
	Space                   // the disk is (nearly) full
	Cancelled               // somebody cancelled it
	Rate                    // the registry's rate limit
	Removed                 // the image went away meanwhile
	TooLarge                // beyond the limits for manifests, configs and layers
	Unmapped                // the store's file system cannot show its files under other users' ids
)

var kindNames = [...]string{
	System: "system", Invalid: "invalid", NotFound: "not found", Exists: "exists", Busy: "busy",
	Denied: "denied", Unavailable: "unavailable", Timeout: "timeout", Corrupt: "corrupt",
	Platform: "platform", Space: "space", Cancelled: "cancelled", Rate: "rate", Removed: "removed",
	TooLarge: "too large", Unmapped: "unmapped",
}

// String is the kind's name, as it stands in records on disk.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return kindNames[System]
	}
	return kindNames[k]
}

// kindNamed is the reverse of String; unknown names are System.
func kindNamed(name string) Kind {
	for k, n := range kindNames {
		if n == name {
			return Kind(k)
		}
	}
	return System
}

// Kinds lists every kind, for the test that demands an errno for each.
func Kinds() []Kind {
	all := make([]Kind, len(kindNames))
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// Error is a failure of the store. Err carries the sentence that tells a
// person what failed, why, and what to do.
type Error struct {
	Op   string // "pull", "tag", "remove", …
	Name string // the image's familiar reference, its ID, or the store's directory
	Kind Kind
	Err  error
	// Holders are the containers that are in the way, if it is Busy by those: their
	// IDs, sorted.
	Holders []string
}

// Error is the whole sentence. What the registry's client and the reference
// parser say names the image already.
func (e *Error) Error() string {
	var (
		reg *registry.Error
		ref *reference.Error

		whole *sentence
	)
	switch {
	case errors.As(e.Err, &reg), errors.As(e.Err, &ref), errors.As(e.Err, &whole):
		return e.Err.Error()
	case e.Name == "":
		return "cannot " + e.Op + ": " + e.Err.Error()
	}
	return "cannot " + e.Op + " " + e.Name + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// KindOf is the kind of an error: of the first *Error in its tree, or what the
// store makes of an error of the registry's client, the unpacker, the kernel or a
// context.
func KindOf(err error) Kind {
	var (
		own  *Error
		reg  *registry.Error
		unp  *unpack.Error
		arc  *archive.Error
		pak  *pack.Error
		over *union.Error
	)
	switch {
	case errors.As(err, &own):
		return own.Kind
	case errors.As(err, &reg) && reg.Kind != registry.Write: // that one is the disk's failure
		return registryKinds[reg.Kind]
	case errors.As(err, &arc):
		return archiveKinds[arc.Kind]
	case errors.As(err, &pak):
		return packKinds[pak.Kind]
	case errors.As(err, &unp):
		return unpackKinds[unp.Kind]
	case errors.Is(err, context.Canceled):
		return Cancelled
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return Space
	case errors.As(err, &over) && over.Kind == union.Limit:
		return TooLarge
	case errors.As(err, &over) && over.Kind == union.Unmapped:
		return Unmapped
	}
	return System
}

var registryKinds = map[registry.Kind]Kind{
	registry.Protocol: Unavailable, registry.NotFound: NotFound, registry.Denied: Denied,
	registry.Unavailable: Unavailable, registry.Timeout: Timeout, registry.Corrupt: Corrupt,
	registry.Platform: Platform, registry.TooLarge: TooLarge, registry.Rate: Rate,
	registry.Cancelled: Cancelled,
}

var unpackKinds = map[unpack.Kind]Kind{
	unpack.System: System, unpack.Hostile: Corrupt, unpack.Corrupt: Corrupt,
	unpack.TooLarge: TooLarge, unpack.Space: Space, unpack.Cancelled: Cancelled,
}

var archiveKinds = map[archive.Kind]Kind{
	archive.System: System, archive.Hostile: Corrupt, archive.Corrupt: Corrupt, archive.Unsupported: Invalid,
	archive.Platform: Platform, archive.TooLarge: TooLarge, archive.Space: Space, archive.Write: System,
	archive.Cancelled: Cancelled,
}

var packKinds = map[pack.Kind]Kind{
	pack.System: System, pack.Unsupported: Invalid, pack.TooLarge: TooLarge, pack.Space: Space,
	pack.Write: System, pack.Cancelled: Cancelled,
}

// wrap makes an *Error of any error. One that is an *Error already stays what it
// is: it knows best what failed.
func wrap(op, name string, err error) error {
	var own *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return own
	}
	kind := KindOf(err)
	var reg *registry.Error
	if errors.As(err, &reg) && reg.Kind == registry.Write {
		err = reg.Err
	}
	switch kind {
	case Space:
		err = &told{"the disk is full; remove images or containers, or make room on the store's disk", err}
	case Cancelled:
		err = &told{"it was cancelled", err}
	default: // its own words will do
	}
	return &Error{Op: op, Name: name, Kind: kind, Err: err}
}

// sentence is an error that was written down as a whole.
type sentence struct{ text string }

func (w *sentence) Error() string { return w.text }

// told is an error in words for people, with its cause kept.
type told struct {
	text  string
	cause error
}

func (t *told) Error() string { return t.text }
func (t *told) Unwrap() error { return t.cause }

// failf makes an *Error from a sentence.
func failf(op, name string, kind Kind, format string, args ...any) *Error {
	return &Error{Op: op, Name: name, Kind: kind, Err: fmt.Errorf(format, args...)}
}
