package credentials

import (
	"fmt"
	"strings"
	"unicode"
)

// Kind is the sort of a failure: what a caller decides by.
type Kind int

// The kinds of failures.
const (
	System    Kind = iota + 1 // a broken disk, or a bug
	Malformed                 // the user's file makes no sense, or the domain
	Denied                    // the user may not read or write that file
	Homeless                  // the user has no home to keep a login in
	Helper                    // the helper program is missing or failed
	Space                     // the disk is full
	Timeout                   // it took too long
	Cancelled                 // the caller's context ended
)

var kindNames = [...]string{
	System: "system", Malformed: "malformed", Denied: "denied", Homeless: "homeless",
	Helper: "helper", Space: "space", Timeout: "timeout", Cancelled: "cancelled",
}

// String is for logs, and the kind's name between child and parent.
func (k Kind) String() string {
	if k <= 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("kind %d", int(k))
	}
	return kindNames[k]
}

// kindNamed is the reverse of String; unknown names are System.
func kindNamed(name string) Kind {
	for k, n := range kindNames {
		if n == name && n != "" {
			return Kind(k)
		}
	}
	return System
}

// Error is a failure to read or write a login.
type Error struct {
	Op     string // "get", "store", "erase"
	Domain string // the registry
	Kind   Kind
	Reason string // what is wrong, as a clause, safe to print; it tells no secret
	Err    error  // the cause beneath; may be nil
}

// Error is one sentence.
func (e *Error) Error() string {
	verb := map[string]string{opGet: "read", opStore: "keep", opErase: "forget"}[e.Op]
	return fmt.Sprintf("cannot %s the login for %s: %s", verb, printable(e.Domain), e.Reason)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// fault is a failure as the child's parts make it, who know nothing of the rest.
type fault struct {
	kind   Kind
	reason string
}

func (f *fault) Error() string { return f.reason }

func faultf(k Kind, format string, args ...any) error {
	return &fault{k, printable(fmt.Sprintf(format, args...))}
}

// printable makes somebody else's words fit for a line on a terminal.
func printable(s string) string {
	const most = 400
	if len(s) > 4*most {
		s = s[:4*most]
	}
	s = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " "))
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most]) + "…"
	}
	return s
}
