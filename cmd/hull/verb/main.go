// Package verb is the program that an executed verb file of the tree is: `#!/path/hull verb` has the kernel run
//
//	hull verb /hull/containers/web/exec/bash ARGUMENTS…
//
// It opens the file read-write, by which the kernel checks the caller's permission, asks it for a ticket, and calls the
// daemon (package fs/wire says how). The daemon does the work. What the helper does is to be an ordinary program to
// whoever started it: it reads flags, lends its pipes and files, stands in for its terminal, hands on signals, and ends
// with the exit status of what was run:
//
//	125     hull failed, or was used wrongly, and says why in one sentence on the standard error
//	1       the same, of files that execute no command: pull, save, load, …, and an image's wait
//	126     the command cannot be executed, or the verb file may not be
//	127     there is no such command, or no such verb file
//	128+n   a signal ended the command, or the helper while it waited
//
// Once the daemon has answered, the helper works with the descriptors of the answer, and does not notice the daemon's
// end. Its own death closes them: that hangs up a session's terminal, and does nothing else.
//
// The time from here to the answer is part of every exec. So nothing is done that the case at hand does not need.
package verb

import (
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"hull/cmd/hull/early"
	"hull/engine/logs"
	"hull/fs/wire"
)

// Statuses of the helper's own.
const (
	statusWrong         = 1
	statusFailed        = 125
	statusNotExecutable = 126
	statusNotFound      = 127
	statusSignal        = 128 // and the signal's number
)

// Main is the helper. args are PATH ARGUMENTS…; flags gives the flags that `run` takes. It returns the exit status.
func Main(args []string, flags func() []Flag) int {
	h := &helper{in: 0, out: 1, err: 2, signals: make(chan os.Signal, 64), flags: flags, lookup: os.LookupEnv}
	if len(args) == 0 {
		h.complain("this is what executed files of a hull mount run; it needs the file's path")
		return statusFailed
	}
	return h.call(args[0], args[1:])
}

// lineTicket is the descriptor from which Line reads its ticket.
const lineTicket = 3

// Line is the helper of a session on an opened descriptor: its standard descriptors are the far end of what the
// descriptor reads and writes, and the daemon has given it the ticket that others ask the file for.
func Line(flags func() []Flag) int {
	h := &helper{in: 0, out: 1, err: 2, device: true, signals: make(chan os.Signal, 64), flags: flags, lookup: os.LookupEnv}
	var b [wire.TicketSize]byte
	told := os.NewFile(lineTicket, "ticket")
	_, err := io.ReadFull(told, b[:])
	_ = told.Close()
	t, bad := wire.ParseTicket(b[:])
	if err != nil || bad != nil || t.Version != wire.Version {
		return statusFailed // the daemon sees that there is no call
	}
	var args []string
	if t.Verb == "run" {
		args = []string{"-i", "-t"}
	}
	status, _ := h.redeem(nil, t, args)
	return status
}

// heeded are the signals that the helper wants to hear of. One that was ignored when it started stays so, as nohup and
// shells without job control mean it to.
func heeded() []os.Signal {
	l := []os.Signal{syscall.SIGWINCH, syscall.SIGCONT}
	for _, s := range []syscall.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGTSTP,
	} {
		if !signal.Ignored(s) {
			l = append(l, s)
		}
	}
	return l
}

// failing is the status of a failure of hull's own. Where the status is a command's, or a container's, it is one that
// few commands use; where it is not, it is every program's.
func (h *helper) failing() int {
	dir, name := filepath.Split(h.path)
	dir = filepath.Dir(dir)
	switch name {
	case "pull", "prune", "load", "save", "export", "follow", "login", "search", "tags":
		if filepath.Base(dir) != "exec" {
			return statusWrong
		}
	case "wait":
		if in := filepath.Base(filepath.Dir(dir)); in != "containers" && filepath.Base(dir) != "exec" {
			return statusWrong
		}
	}
	return statusFailed
}

// helper is one execution of a verb file.
type helper struct {
	in, out, err int // its standard descriptors
	signals      chan os.Signal
	flags        func() []Flag
	lookup       func(string) (string, bool) // of the environment

	verb        string
	interactive bool // what is typed is for the command
	device      bool // it serves an opened descriptor: its terminal is the master of one that others open
	show        *display
	lent        lent
	known       []wire.Option  // of a login: what was asked for once
	ending      syscall.Signal // what is to end the call, of which the daemon has been told before there was Go
	unread      chan error     // tells why the input could not be read to its end
	path        string         // of the file, absolute; empty on a descriptor
	segments    []logs.Segment // of the log to follow, those before the answer's
	named       named          // of an archive: the file in the place of its input or output
	id          *os.File       // of a run: where the container's ID is to be written; nil if nowhere

	telling sync.Mutex
	conn    *wire.Conn
}

// call is the helper's whole life.
func (h *helper) call(path string, args []string) int {
	absolute := path
	if wd, err := syscall.Getwd(); err == nil && !filepath.IsAbs(path) {
		absolute = filepath.Join(wd, path)
	}
	h.path = absolute
	for try := 0; ; try++ {
		status, again := h.attempt(path, args)
		if !again {
			return status
		}
		if try == tries {
			h.complain("the daemon went away before it answered, and has not come back")
			return status
		}
		path = absolute // the working directory may lie in the mount that has died
		select {
		case s := <-h.signals: // of a call that was resumed
			if n, ends := ending(s); ends {
				return statusSignal + int(n)
			}
		case <-time.After(pause):
		}
	}
}

// How long the helper waits for a daemon that is being started again.
const (
	tries = 50
	pause = 100 * time.Millisecond
)

// attempt calls the daemon once. again is true if there was none and nothing can have been done.
func (h *helper) attempt(path string, args []string) (status int, again bool) {
	begun := early.Left()
	if begun != nil && begun.Socket != nil {
		return h.resume(begun)
	}
	file, ticket, problem := open(path, begun)
	if problem != nil {
		if !problem.again {
			h.complain(problem.sentence)
		}
		if problem.status == statusFailed {
			return h.failing(), problem.again
		}
		return problem.status, problem.again
	}
	defer file.Close()
	status, again = h.redeem(file, ticket, args)
	h.leaveID()
	return h.deliver(status), again
}

// redeem makes the call that a ticket is for.
func (h *helper) redeem(file *os.File, ticket wire.Ticket, args []string) (status int, again bool) {
	h.verb = ticket.Verb
	r, err := h.request(ticket, args)
	if err != nil {
		h.complain(err.Error())
		return h.failing(), false
	}
	if r == nil { // it asked for help, and got it
		return 0, false
	}
	defer h.lent.close()
	conn, err := connect(ticket.Socket)
	if err != nil {
		return h.failing(), true
	}
	defer conn.Close()
	h.begin(conn)
	defer func() {
		if again {
			signal.Stop(h.signals)
		}
	}()
	if err := conn.Send(wire.KindRequest, r.Encode(), h.lent.files()...); err != nil {
		return h.failing(), true
	}
	h.lent.sent()
	return h.converse(file)
}

// resume goes on with a call of which the request has been sent before there was Go. Some signals are blocked since then
// but for who asks for them: so they are asked for to the end, also while the helper waits for the next daemon.
func (h *helper) resume(begun *early.Call) (status int, again bool) {
	h.verb, h.ending = begun.Verb, syscall.Signal(begun.Ending)
	conn, err := wire.Resume(begun.Socket, begun.Received, begun.Files)
	if err != nil {
		h.complain(err.Error())
		return h.failing(), false
	}
	defer conn.Close()
	h.begin(conn)
	return h.converse(begun.File)
}

// begin makes a connection that of the call. Only from here on is there somebody to ask what a signal means; before, it
// ends the helper as any program, and so it does while the helper waits for the next daemon. Else that is left to the
// helper's end, which is quicker.
func (h *helper) begin(conn *wire.Conn) {
	h.conn = conn
	h.show = newDisplay(h.out)
	if h.verb == "run" {
		h.show = newDisplay(h.err) // its output is the container's, or its ID
	}
	signal.Notify(h.signals, heeded()...)
}

// converse is what follows when the request has been sent. file is the verb file, if it is open.
func (h *helper) converse(file *os.File) (status int, again bool) {
	over := h.flow()
	var a *wire.Answer
	var files []*os.File
	if a, files, status, again = h.await(); a == nil {
		return status, again
	}
	if err := over(); err != nil && a.Code == 0 {
		a.Code = h.unwritten(err)
	}
	if file != nil {
		_ = file.Close() // the session is its connection from here on
	}
	return h.attend(a, files), false
}

// tell sends the daemon something that has no answer.
func (h *helper) tell(kind byte, body []byte) error {
	h.telling.Lock()
	defer h.telling.Unlock()
	return h.conn.Send(kind, body)
}

// unwritten says that the output could not be written, unless nobody wanted it any more, and gives the status to end with.
func (h *helper) unwritten(err error) int {
	status := h.broken(err)
	if status == h.failing() {
		h.complain("the output cannot be written: " + err.Error())
	}
	return status
}

// complain prints a sentence.
func (h *helper) complain(sentence string) {
	_ = writeAll(h.err, []byte("hull: "+printable(strings.TrimSpace(sentence))+"\n"))
}
