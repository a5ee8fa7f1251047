package fs

import "strings"

// Kind is what a failure means. Adapters give each failure of the engine and the store the Kind that a caller of the
// tree must see; fs/errno.go gives each Kind its errno, and nothing else does.
type Kind uint8

// The kinds of failure. Their order has no meaning; kinds (errno.go) must have a row for each.
const (
	System        Kind = iota // a broken disk or a bug
	Invalid                   // syntax or a bad value
	NotFound                  // no such image, tag, container or command
	Exists                    // the name is taken
	Busy                      // in use or running
	NotRunning                // it would have to run for that
	Denied                    // a registry or a file's permissions refuse
	Forbidden                 // needs root, or is never allowed
	NotEmpty                  // there is data inside
	Space                     // the disk is full, or as full as hull lets it be
	NotExecutable             // not runnable: another platform's image, or a file that is no program
	Unreachable               // no way to that network
	Timeout                   // the other side did not answer in time
	Refused                   // nothing listens there
	InUse                     // an address or port is taken
	Removed                   // the object was removed while open
	Interrupted               // a signal ended the caller's wait; accepted work goes on
	Corrupt                   // what came is not what was promised: digest or length differ
	Unsupported               // this kernel or file system cannot do it

	kindCount
)

// String is the kind as events name it.
func (k Kind) String() string {
	if k < kindCount {
		return kinds[k].name
	}
	return kinds[System].name
}

// Error is a failure that a user meets. Its text is one full sentence: what failed, why, what to do.
type Error struct {
	Op       string // "start", "pull", "mkdir"
	Object   string // "containers/web", "images/redis:7"; may be empty
	Kind     Kind
	Sentence string // for a person; empty means that of Err
	Err      error  // the cause, for the log
}

func (e *Error) Error() string {
	if e.Sentence != "" {
		return e.Sentence
	}
	var b strings.Builder
	for _, s := range []string{e.Op, e.Object} {
		if s != "" {
			b.WriteString(s)
			b.WriteString(": ")
		}
	}
	if e.Err != nil {
		b.WriteString(e.Err.Error())
	} else {
		b.WriteString(e.Kind.String())
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// fail makes an Error.
func fail(kind Kind, op, object, sentence string) *Error {
	return &Error{Op: op, Object: object, Kind: kind, Sentence: sentence}
}
