package session

import (
	"context"
	"os"
	"sync"

	"hull/fs/wire"
)

// Credential is who opened a verb file. It has the fields of fs.Credential, so that one converts to the other.
type Credential struct {
	UID, GID uint32
	Groups   []uint32
	PID      uint32
}

// Verb says what an opened verb file is.
type Verb struct {
	// Kind is how the helper reads its arguments: "run", "pull", "wait", "exec".
	Kind string
	// Object is what it acts on: an image's reference, a container's ID; empty for the verbs of the root.
	Object string
	// Name is the file's own name: the command's, in exec/.
	Name string
}

// Option is a flag that was given: the name of a container's setting, or "detach", "name", "pull", "quiet".
type Option = wire.Option

// Terminal is the terminal a session is to have.
type Terminal = wire.Terminal

// Call is one execution of a verb file.
type Call struct {
	Verb
	// Args are the arguments, without flags for a verb that has some. Any user may have sent them.
	Args []string
	// Env is what the verb needs of the caller's environment.
	Env []string
	// Options are the flags that were given, in order, one for each time.
	Options []Option
	// Stdio are the caller's own pipes, sockets and files, to be given to the process as they are; nil where there is
	// none to give: the helper holds a terminal, or the verb does not use it. They are closed when the Handler returns.
	Stdio [3]*os.File
	// Terminal is not nil if the process is to have a terminal.
	Terminal *Terminal
	// Descriptor tells that nobody has executed the file: this is the session of whoever has it open. Device is then the
	// path of a terminal of the host that leads there, empty if none does.
	Descriptor bool
	Device     string
	// By is the opener of the file: all that is done is done by its authority.
	By Credential

	mu   sync.Mutex
	conn *wire.Conn // nil when nothing is printed any more
}

// Option gives the last value of an option, and whether it was given.
func (c *Call) Option(name string) (string, bool) {
	for i := len(c.Options) - 1; i >= 0; i-- {
		if c.Options[i].Name == name {
			return c.Options[i].Value, true
		}
	}
	return "", false
}

// Print prints lines on the caller's standard output while the Handler runs. Where that is a terminal, a line
// "KEY: STATE" takes the place of an earlier one with the same KEY of twelve hex digits. It waits while the caller does
// not read, and prints nothing once the caller is gone, which the Handler's context tells.
func (c *Call) Print(text string) { c.send(wire.KindPrint, []byte(text)) }

// Meter shows on a terminal, and only there, how far something has come.
func (c *Call) Meter(done, total int64) {
	c.send(wire.KindMeter, wire.Meter{Done: done, Total: total}.Encode())
}

func (c *Call) send(kind byte, body []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.conn != nil && len(body) > 0 {
		n := min(len(body), wire.MaxBody)
		if c.conn.Send(kind, body[:n]) != nil {
			c.conn = nil
			return
		}
		body = body[n:]
	}
}

// quiet ends printing.
func (c *Call) quiet() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = nil
}

// Follow is a container's log to print.
type Follow struct {
	Segments []Segment // not none
	From     int64     // offset in them
	Stamps   bool      // each line begins with its time
}

// Segment is a part of a log, as in package engine/logs.
type Segment struct {
	Number     int64
	Log, Index *os.File
}

// Answer is what a Call came to. Its files are closed when they have been sent.
type Answer struct {
	// Text goes to the caller's standard output, Sentence to its standard error after "hull: ". Without a Status the
	// call is over with the exit status Code.
	Text, Sentence string
	Code           int
	// Err is what Sentence and Code tell of; it is not sent.
	Err error

	// Status is the near end of a socket on which the monitor tells the exit.
	Status *os.File
	// Pty is the master of the process's terminal. What is read of the caller's terminal is written to it, and the
	// caller's window sizes are set on it; what it shows is read from it if Follow is nil.
	Pty *os.File
	// Stdin gets what is read of the caller's input, for a process that has no terminal of which this is the master.
	Stdin *os.File
	// Terminal is whether the process has a terminal all the same: then Stdin is where it is typed, and the caller's window
	// sizes go to Status.
	Terminal bool
	// Follow is a log to print until the exit, or without a Status what there is of it.
	Follow *Follow
	// Pidfd is the process: with it a caller who may can send signals while no daemon lives.
	Pidfd *os.File
	// Detach are the keys with which the caller may leave; empty if there are none.
	Detach string

	// Signal sends a signal to the process. If it is nil, signals end the helper.
	Signal func(ctx context.Context, signal int) error
	// Ended is told that the caller's input has ended, after all of it has gone to Stdin.
	Ended func(ctx context.Context)
	// Gone is told, at the end, that the helper has gone, be it because the process has ended or before.
	Gone func(ctx context.Context)
}

// message gives what is sent: the frame's fields and the files in the order of their roles.
func (a *Answer) message() (*wire.Answer, []*os.File) {
	m := &wire.Answer{
		Text: a.Text, Sentence: a.Sentence, Code: a.Code, Detach: a.Detach, Signals: a.Signal != nil,
		Terminal: a.Terminal,
	}
	var files []*os.File
	add := func(role wire.Role, f *os.File) {
		if f != nil {
			m.Roles, files = append(m.Roles, role), append(files, f)
		}
	}
	add(wire.RoleStatus, a.Status)
	add(wire.RolePty, a.Pty)
	add(wire.RoleStdin, a.Stdin)
	add(wire.RolePidfd, a.Pidfd)
	if a.Follow != nil {
		last := a.Follow.Segments[len(a.Follow.Segments)-1]
		m.From, m.Stamps, m.Segment = a.Follow.From, a.Follow.Stamps, last.Number
		add(wire.RoleLog, last.Log)
		add(wire.RoleIndex, last.Index)
	}
	return m, files
}

// send sends the answer. Its files are closed.
func (a *Answer) send(conn *wire.Conn) error {
	m, files := a.message()
	defer closeAll(files)
	if a.Follow != nil {
		earlier := a.Follow.Segments[:len(a.Follow.Segments)-1]
		for _, s := range earlier {
			defer closeAll([]*os.File{s.Log, s.Index})
		}
		for _, s := range earlier {
			if err := conn.Send(wire.KindSegment, wire.EncodeSegment(s.Number), s.Log, s.Index); err != nil {
				return err
			}
		}
	}
	return conn.Send(wire.KindAnswer, m.Encode(), files...)
}

// Handler does what a Call asks. The context ends when the caller gives up or the server closes; what was accepted
// then either goes on without it or is undone whole. An error ends the call with status 125 and its sentence.
type Handler func(ctx context.Context, c *Call) (*Answer, error)
