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
)

var kindNames = [...]string{
	Protocol: "protocol", NotFound: "not found", Denied: "denied", Unavailable: "unavailable",
	Timeout: "timeout", Corrupt: "corrupt", Platform: "platform", TooLarge: "too large",
	Rate: "rate", Cancelled: "cancelled", Write: "write",
}

// String is for logs.
func (k Kind) String() string {
	if k <= 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("kind %d", int(k))
	}
	return kindNames[k]
}

// Error is a failure to get something from a registry.
type Error struct {
	Op        string // what was tried: "resolve", "blob"
	Reference string // the image, in its familiar form
	Host      string // that was spoken to
	Kind      Kind
	Status    int    // of the HTTP answer; 0 if there was none
	Reason    string // what is wrong, as a clause in hull's words
	Message   string // the registry's own words, made safe to print; may be empty
	Err       error  // the cause beneath; may be nil

	temporary bool          // another attempt may succeed
	dialing   bool          // there was not even a connection
	after     time.Duration // how long the server asks to wait
}

// Error is one sentence: what failed, why, and what the registry says.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("cannot get " + e.Reference)
	if e.Host != "" {
		b.WriteString(" from " + e.Host)
	}
	b.WriteString(": " + e.Reason)
	if e.Message != "" {
		b.WriteString(" (the registry says: " + e.Message + ")")
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }
