package registry

import (
	"fmt"
	"strings"
	"time"
)

// Kind is the sort of a failure: what a caller decides by.
type Kind int

// The kinds of failures.
const (
	Protocol    Kind = iota + 1 // the registry's answer makes no sense, or hull cannot use it
	NotFound                    // no such repository, tag or digest
	Denied                      // not authorised; registries also say so of what does not exist
	Unavailable                 // refused, unreachable, no such host, no trust in its certificate, or broken down
	Timeout                     // no progress for too long
	Corrupt                     // bytes that do not have the digest or size they should
	Platform                    // not for this host
	TooLarge                    // over a cap
	Rate                        // too many requests
	Cancelled                   // the caller's context ended
	Write                       // the caller's writer failed
	Read                        // what the caller gives to be pushed cannot be read
)

var kindNames = [...]string{
	Protocol: "protocol", NotFound: "not found", Denied: "denied", Unavailable: "unavailable",
	Timeout: "timeout", Corrupt: "corrupt", Platform: "platform", TooLarge: "too large",
	Rate: "rate", Cancelled: "cancelled", Write: "write", Read: "read",
}

// String is for logs.
func (k Kind) String() string {
	if k <= 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("kind %d", int(k))
	}
	return kindNames[k]
}

// What is tried, for Error.Op.
const (
	opResolve = "resolve"
	opBlob    = "blob"
	opPush    = "push"
	opTags    = "tags"
	opSearch  = "search"
	opLogin   = "login"
)

// Error is a failure to get something from a registry, or to bring it there.
type Error struct {
	Op        string // what was tried: "resolve", "blob", "push", "tags", "search", "login"
	Reference string // the image, in its familiar form; of a search its term, of a login the registry
	Host      string // that was spoken to
	Kind      Kind
	Status    int      // of the HTTP answer; 0 if there was none
	Reason    string   // what is wrong, as a clause in hull's words
	Message   string   // the registry's own words, made safe to print; may be empty
	Err       error    // the cause beneath; may be nil
	Mirrors   []string // those that were asked before, and what was wrong there: "mirror.test: connection refused"

	temporary bool            // another attempt may succeed
	dialing   bool            // there was not even a connection
	after     time.Duration   // how long the server asks to wait
	codes     map[string]bool // of the registry's errors: "BLOB_UPLOAD_UNKNOWN"
}

// Error is one sentence: what failed, why, and what the registry says.
func (e *Error) Error() string { return "cannot " + e.tried() + ": " + e.Why() }

// Why is the clause that says what is wrong, with what the registry says of it.
func (e *Error) Why() string {
	why := e.Reason
	if e.Message != "" {
		why += " (the registry says: " + e.Message + ")"
	}
	switch len(e.Mirrors) {
	case 0:
		return why
	case 1:
		return why + "; its mirror did not help: " + e.Mirrors[0]
	}
	return why + "; its mirrors did not help: " + strings.Join(e.Mirrors, ", ")
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// tried says what failed, to follow "cannot".
func (e *Error) tried() string {
	host := func(preposition string) string {
		if e.Host == "" {
			return ""
		}
		return preposition + e.Host
	}
	switch e.Op {
	case opPush:
		return "push " + e.Reference + host(" to ")
	case opTags:
		return "list the tags of " + e.Reference + host(" at ")
	case opSearch:
		return "search" + host(" ") + " for " + e.Reference
	case opLogin:
		return "log in to " + e.Reference
	}
	return "get " + e.Reference + host(" from ")
}
