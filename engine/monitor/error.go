package monitor

import (
	"errors"
	"strings"
)

// Kind says what sort of failure an Error is. Callers decide by it, never by the text.
type Kind uint8

// The kinds of failure.
const (
	System   Kind = iota // the kernel or the disk refused
	Invalid              // the request makes no sense
	NotFound             // no such container here
	Exists               // the container is already held, or a daemon is already running
	Busy                 // containers run, so the tree is not unmounted; see Error.Names
	Failed               // the daemon said, or showed, that it cannot run
	Lost                 // the other end is gone
)

var kindNames = [...]string{"system", "invalid", "not found", "exists", "busy", "failed", "lost"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Error is a failure of the monitor or of talking to it. Sentence stands by itself: it can be shown to a user.
type Error struct {
	Op       string   `json:"op"`
	ID       string   `json:"id,omitempty"`
	Kind     Kind     `json:"kind"`
	Sentence string   `json:"sentence"`
	Names    []string `json:"names,omitempty"` // Busy: the containers that run
	Err      error    `json:"-"`
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Sentence)
	if e.Err != nil {
		if e.Sentence != "" {
			b.WriteString(": ")
		}
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// asError gives an error a form that travels.
func asError(op string, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		if e.Err != nil { // only the sentence travels
			told := *e
			told.Sentence, told.Err = e.Error(), nil
			return &told
		}
		return e
	}
	return &Error{Op: op, Kind: System, Sentence: err.Error()}
}
