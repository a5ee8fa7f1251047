package monitor

import (
	"context"
	"os"
	"time"

	"hull/engine/logs"
)

// Adopt is a container's first process, parked, with all that the monitor is to do for it. The files stay the
// caller's: the monitor has duplicates of its own.
type Adopt struct {
	ID      string
	Dir     string // the container's directory: log, index and exit.json are made there
	PID     int
	Pidfd   *os.File
	Stdout  *os.File // read end of a pipe; nil with a Pty
	Stderr  *os.File
	Pty     *os.File // master
	Stdin   *os.File // write end of a pipe, kept open while the container lives; nil if none
	OOM     *os.File // a file with a line "oom_kill N", cgroup.Group.OOM; nil if there is none
	Started time.Time
	Bounds  logs.Bounds // of the log
	// Volatile spares the exit record its fsync: for a container that is thrown away when it ends.
	Volatile bool
	// Again is set for a process that was an earlier monitor's: if it is not this one's child, how it ends may be unknown
	// on kernels before 6.15.
	Again bool
}

// Adopt gives a container to the monitor: call it before the first process is released. An exit record of an earlier
// run is removed. The exit comes on Exits; answer it with Forget when all that it leads to is done.
func (c *Client) Adopt(ctx context.Context, a Adopt) error {
	m := &message{Op: opAdopt, ID: a.ID, Dir: a.Dir, PID: a.PID, Started: a.Started, Volatile: a.Volatile, LogMax: a.Bounds.Max, LogFiles: a.Bounds.Files, Again: a.Again}
	m.put(slotPidfd, a.Pidfd)
	m.put(slotStdout, a.Stdout)
	m.put(slotStderr, a.Stderr)
	m.put(slotPty, a.Pty)
	if a.Pty != nil {
		between, err := newBetween()
		if err != nil {
			return &Error{Op: string(opAdopt), ID: a.ID, Kind: System, Sentence: "no pipe could be made for the container's terminal", Err: err}
		}
		defer func() { _ = between.Close() }()
		m.put(slotBetween, between)
	}
	m.put(slotStdin, a.Stdin)
	m.put(slotOOM, a.OOM)
	return c.do(ctx, m, nil)
}

// Session is a further process in a container.
type Session struct {
	ID      string // the container
	Key     string // what the daemon calls the session
	PID     int
	Pidfd   *os.File
	Started time.Time
	// Status gets the exit, see Status; nil if nobody waits for it. When its other end is closed before the exit, the
	// session is hung up: see HangUp.
	Status *os.File
	Report bool   // tell the exit on Exits too, with Exit.Session = Key
	Label  []byte // given back by List; at most 16 KiB
	Again  bool   // as in Adopt
}

// Session gives a session's process, parked, to the monitor, which reaps it and tells its exit, whether a daemon lives
// then or not. The files stay the caller's.
func (c *Client) Session(ctx context.Context, s Session) error {
	m := &message{Op: opSession, ID: s.ID, Key: s.Key, PID: s.PID, Started: s.Started, Report: s.Report, Payload: s.Label, Again: s.Again, Hold: newHold()}
	m.put(slotPidfd, s.Pidfd)
	m.put(slotStatus, s.Status)
	return c.do(ctx, m, nil)
}

// Attach is somebody who looks at a container's output, and may feed its terminal.
type Attach struct {
	ID      string   // the container
	Status  *os.File // hears when the log grows, and the exit
	Started time.Time
	// Key is what the daemon calls it; when it leaves before the container has ended, that is told on Exits, with
	// Exit.Session = Key. Empty: nobody needs to know.
	Key   string
	Label []byte // given back by List; at most 16 KiB
	// Segment is the number of the last segment of the log that it has. It is given those that come after, in Statuses,
	// as many as it reads. One that comes again, from a monitor that knows less than the one before, it answers with
	// Reading.
	Segment int64
	// Paced is for whose output the container's is, as that of a program in a pipeline: it misses nothing, and the
	// container waits when it is a whole log behind. Who is not paced is let alone, and misses what is dropped meanwhile.
	Paced bool
	// Keys is a pipe's read end: what comes from it is typed on the container's terminal. Nil if nothing is.
	Keys *os.File
}

// Attach adds a status socket to a container that is held: it hears when the log grows, and the exit once the daemon
// has called Forget, or some time after the exit if no daemon does. The files stay the caller's: close them, or the
// reader sees no end of file if the monitor dies. NotFound means that the exit was over: use WriteStatus.
func (c *Client) Attach(ctx context.Context, a Attach) error {
	m := &message{Op: opAttach, ID: a.ID, Key: a.Key, Started: a.Started, Payload: a.Label, Segment: a.Segment, Paced: a.Paced, Hold: newHold()}
	m.put(slotStatus, a.Status)
	m.put(slotKeys, a.Keys)
	return c.do(ctx, m, nil)
}

// Bound sets other bounds of a container's log, whether it runs or not. What is beyond them goes at once.
func (c *Client) Bound(ctx context.Context, id, dir string, b logs.Bounds) error {
	err := c.do(ctx, &message{Op: opBound, ID: id, Dir: dir, LogMax: b.Max, LogFiles: b.Files}, nil)
	if err == nil {
		c.kept.bound(id, b)
	}
	return err
}

// HangUp ends what Session or Attach began, by its Key. A session's processes get SIGHUP, as from a terminal that goes
// away, and its first one SIGKILL if it is still there after a while; who is attached is told to leave. One that is
// over is no error.
func (c *Client) HangUp(ctx context.Context, id, key string) error {
	return c.do(ctx, &message{Op: opHangUp, ID: id, Key: key}, nil)
}

// Signal sends a signal to the process of a Session. One that is over is no error.
func (c *Client) Signal(ctx context.Context, id, key string, signal int) error {
	return c.do(ctx, &message{Op: opSignal, ID: id, Key: key, Signal: signal}, nil)
}

// Forget says that a container's exit has been dealt with: the monitor drops it and answers its attached sockets.
// Busy if it still runs. What is unknown is forgotten already: no error.
func (c *Client) Forget(ctx context.Context, id string) error {
	err := c.do(ctx, &message{Op: opForget, ID: id}, nil)
	if err == nil {
		c.kept.forget(id)
	}
	return err
}

// Abandon lets a container go whose process is there and cannot be ended: no exit of it is told, and what it still
// writes is lost. The monitor reaps it if it ends after all. What is unknown is no error.
func (c *Client) Abandon(ctx context.Context, id string) error {
	return c.do(ctx, &message{Op: opAbandon, ID: id}, nil)
}

// CloseStdin has the monitor drop its write end of a container's standard input, so that the end of input comes when
// the last other holder closes its own. No error if it has none.
func (c *Client) CloseStdin(ctx context.Context, id string) error {
	c.kept.dropStdin(id)
	return c.do(ctx, &message{Op: opCloseStdin, ID: id}, nil)
}

// Reap has a child that was never adopted, or a session never given, killed and waited for: a parked process that was
// given up. It returns when the process is gone. A process that is adopted is left alone.
func (c *Client) Reap(ctx context.Context, pidfd *os.File) error {
	m := &message{Op: opReap}
	m.put(slotPidfd, pidfd)
	return c.do(ctx, m, nil)
}

// Held is a container that the monitor holds, or with a Key a session in one.
type Held struct {
	ID, Dir string
	PID     int // 0 of who is attached
	Started time.Time
	Pidfd   *os.File // nil of who is attached
	Pty     *os.File // nil if it has none
	Stdin   *os.File // nil if it has none
	Exit    *Exit    // it has ended, and Forget has not been called
	Key     string   // of Session or Attach
	Label   []byte   // likewise
}

// Close closes the descriptors.
func (h *Held) Close() {
	for _, f := range []*os.File{h.Pidfd, h.Pty, h.Stdin} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// List gives what the monitor holds, with descriptors that are the caller's. A container comes before its sessions.
func (c *Client) List(ctx context.Context) ([]Held, error) {
	var all []Held
	err := c.do(ctx, &message{Op: opList}, func(m *message) {
		all = append(all, Held{
			ID: m.ID, Dir: m.Dir, PID: m.PID, Started: m.Started, Exit: m.Exit, Key: m.Key, Label: m.Payload,
			Pidfd: m.take(slotPidfd), Pty: m.take(slotPty), Stdin: m.take(slotStdin),
		})
		m.close()
	})
	if err != nil {
		for i := range all {
			all[i].Close()
		}
		return nil, err
	}
	c.kept.whole()
	return all, nil
}

// Ready says that the mount answers: `hull mount --background` returns.
func (c *Client) Ready(ctx context.Context) error {
	c.kept.mu.Lock()
	c.kept.ready = true
	c.kept.mu.Unlock()
	return c.do(ctx, &message{Op: opReady}, nil)
}

// Fail says why this daemon cannot run, in a sentence for `hull mount` to print. It should exit then: it is not tried
// again, unless an earlier one was Ready.
func (c *Client) Fail(ctx context.Context, sentence string) error {
	return c.do(ctx, &message{Op: opFail, Text: sentence}, nil)
}

// StopRequest asks the daemon to end the mount. It does what Mode says and calls Done; after Done(ctx, nil) it exits,
// and the monitor starts no other. If the daemon dies before Done, the next one is asked again; so it is if the monitor is
// killed, by the one that goes on for it.
type StopRequest struct {
	Mode   Ending
	client *Client
}

// Done answers: nil when the tree is unmounted and the containers are as Mode wants them; an *Error of Kind Busy with
// the Names of running containers, for Ask; another error if it could not be done, and then the mount goes on.
func (r *StopRequest) Done(ctx context.Context, err error) error {
	m := &message{Op: opStopped, Mode: r.Mode}
	if err != nil {
		m.Failure = asError(string(opStop), err)
		r.client.kept.asked("")
	}
	return r.client.do(ctx, m, nil)
}
