package monitor

import (
	"context"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// DaemonFD is the number under which the daemon inherits its end of the socket to the monitor.
const DaemonFD = 3

// Client is the daemon's end. Its calls may come from many goroutines at once.
type Client struct {
	conn   *packet
	exits  *feed[Exit]
	faults *feed[Trouble]
	stops  *feed[*StopRequest]
	lost   chan struct{}
	joined sync.WaitGroup

	mu      sync.Mutex
	seq     uint64
	waiting map[uint64]*call
	dead    error
}

// call is a request that waits for its answer. Every message of its Seq goes to reply, the last of which is opAnswer;
// gone is closed when nobody waits any more.
type call struct {
	reply chan *message
	gone  chan struct{}
}

// Trouble is something a monitor met about a container that its user should hear of: a log that cannot be written.
// It is told once for each run of a container.
type Trouble struct{ ID, Sentence string }

// Connect takes over the socket that the monitor gave this daemon as descriptor DaemonFD. Call List first: exits of
// containers adopted by an earlier daemon are told on Exits only from then on.
func Connect(socket *os.File) (*Client, error) {
	fd, err := unix.FcntlInt(uintptr(rawFD(socket)), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, &Error{Op: "connect", Kind: Lost, Sentence: "this daemon was not started by hull's monitor", Err: os.NewSyscallError("fcntl", err)}
	}
	_ = socket.Close()
	conn, err := newPacket(fd)
	if err != nil {
		return nil, err
	}
	c := &Client{
		conn: conn, exits: newFeed[Exit](), faults: newFeed[Trouble](), stops: newFeed[*StopRequest](),
		lost: make(chan struct{}), waiting: map[uint64]*call{},
	}
	c.joined.Go(c.read)
	return c, nil
}

// Close ends the client. The monitor, when this process ends after it, starts another daemon, unless a StopRequest was
// answered without an error.
func (c *Client) Close() error {
	err := c.conn.close()
	c.joined.Wait()
	c.exits.close()
	c.faults.close()
	c.stops.close()
	return err
}

// Exits tells the exits of containers, each after its record is on disk and all its output in the log. An exit may be
// told twice (here and by List): treat it by Started.
func (c *Client) Exits() <-chan Exit { return c.exits.out }

// Troubles tells what went wrong with a container's log.
func (c *Client) Troubles() <-chan Trouble { return c.faults.out }

// Stops tells that the mount should end. See StopRequest.
func (c *Client) Stops() <-chan *StopRequest { return c.stops.out }

// Lost is closed when the monitor is gone.
func (c *Client) Lost() <-chan struct{} { return c.lost }

// read gives messages to whom they belong until the socket is closed.
func (c *Client) read() {
	for {
		m, err := c.conn.receive()
		if err != nil {
			c.fail(err)
			return
		}
		c.deliver(m)
	}
}

func (c *Client) deliver(m *message) {
	if m.Seq != 0 {
		c.mu.Lock()
		w := c.waiting[m.Seq]
		c.mu.Unlock()
		if w == nil {
			m.close()
			return
		}
		select {
		case w.reply <- m:
		case <-w.gone:
			m.close()
		}
		return
	}
	defer m.close()
	switch m.Op {
	case opExit:
		if m.Exit != nil {
			c.exits.put(*m.Exit)
		}
	case opTrouble:
		c.faults.put(Trouble{ID: m.ID, Sentence: m.Text})
	case opStop:
		c.stops.put(&StopRequest{Mode: m.Mode, client: c})
	}
}

// fail ends every call that waits.
func (c *Client) fail(err error) {
	c.mu.Lock()
	c.dead = lost("read", err)
	c.mu.Unlock()
	close(c.lost)
}

// do sends a request and waits for its answer; each, if not nil, gets the messages that come before it.
func (c *Client) do(ctx context.Context, m *message, each func(*message)) error {
	w := &call{reply: make(chan *message), gone: make(chan struct{})}
	defer close(w.gone)
	c.mu.Lock()
	if err := c.dead; err != nil {
		c.mu.Unlock()
		return err
	}
	c.seq++
	m.Seq = c.seq
	c.waiting[m.Seq] = w
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, m.Seq)
		c.mu.Unlock()
	}()
	if err := c.conn.send(m); err != nil {
		return lost(string(m.Op), err)
	}
	for {
		select {
		case r := <-w.reply:
			if r.cut {
				return &Error{Op: string(m.Op), ID: r.ID, Kind: System, Sentence: "the daemon can hold no more descriptors; raise its limit of open files (ulimit -n)"}
			}
			if r.Op != opAnswer {
				each(r)
				continue
			}
			r.close()
			if r.Failure != nil {
				return r.Failure
			}
			return nil
		case <-c.lost:
			return lost(string(m.Op), nil)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

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
	// Volatile spares the exit record its fsync: for a container that is thrown away when it ends.
	Volatile bool
}

// Adopt gives a container to the monitor: call it before the first process is released. An exit record of an earlier
// run is removed. The exit comes on Exits; answer it with Forget when all that it leads to is done.
func (c *Client) Adopt(ctx context.Context, a Adopt) error {
	m := &message{Op: opAdopt, ID: a.ID, Dir: a.Dir, PID: a.PID, Started: a.Started, Volatile: a.Volatile}
	m.put(slotPidfd, a.Pidfd)
	m.put(slotStdout, a.Stdout)
	m.put(slotStderr, a.Stderr)
	m.put(slotPty, a.Pty)
	m.put(slotStdin, a.Stdin)
	m.put(slotOOM, a.OOM)
	return c.do(ctx, m, nil)
}

// Session is a further process in a container.
type Session struct {
	ID     string // the container
	Key    string // what the daemon calls the session
	PID    int
	Pidfd  *os.File
	Status *os.File // gets the exit, see Status; may be nil
	Report bool     // tell the exit on Exits too, with Exit.Session = Key
}

// Session gives a session's process, parked, to the monitor, which reaps it and tells its exit, whether a daemon lives
// then or not. The files stay the caller's.
func (c *Client) Session(ctx context.Context, s Session) error {
	m := &message{Op: opSession, ID: s.ID, Key: s.Key, PID: s.PID, Report: s.Report}
	m.put(slotPidfd, s.Pidfd)
	m.put(slotStatus, s.Status)
	return c.do(ctx, m, nil)
}

// Attach adds a status socket to a container that is held: it hears when the log grows, and the exit once the daemon
// has called Forget, or some time after the exit if no daemon does. The file stays the caller's: close it, or the
// reader sees no end of file if the monitor dies. NotFound means that the exit was over: use WriteStatus.
func (c *Client) Attach(ctx context.Context, id string, status *os.File) error {
	m := &message{Op: opAttach, ID: id}
	m.put(slotStatus, status)
	return c.do(ctx, m, nil)
}

// Forget says that a container's exit has been dealt with: the monitor drops it and answers its attached sockets.
// Busy if it still runs. What is unknown is forgotten already: no error.
func (c *Client) Forget(ctx context.Context, id string) error {
	return c.do(ctx, &message{Op: opForget, ID: id}, nil)
}

// CloseStdin has the monitor drop its write end of a container's standard input, so that the end of input comes when
// the last other holder closes its own. No error if it has none.
func (c *Client) CloseStdin(ctx context.Context, id string) error {
	return c.do(ctx, &message{Op: opCloseStdin, ID: id}, nil)
}

// Reap has a child that was never adopted, or a session never given, killed and waited for: a parked process that was
// given up. It returns when the process is gone. A process that is adopted is left alone.
func (c *Client) Reap(ctx context.Context, pidfd *os.File) error {
	m := &message{Op: opReap}
	m.put(slotPidfd, pidfd)
	return c.do(ctx, m, nil)
}

// Held is a container the monitor holds.
type Held struct {
	ID, Dir string
	PID     int
	Started time.Time
	Pidfd   *os.File
	Pty     *os.File // nil if it has none
	Stdin   *os.File // nil if it has none
	Exit    *Exit    // it has ended, and Forget has not been called
}

// Close closes the descriptors.
func (h *Held) Close() {
	for _, f := range []*os.File{h.Pidfd, h.Pty, h.Stdin} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// List gives what the monitor holds, with descriptors that are the caller's.
func (c *Client) List(ctx context.Context) ([]Held, error) {
	var all []Held
	err := c.do(ctx, &message{Op: opList}, func(m *message) {
		all = append(all, Held{
			ID: m.ID, Dir: m.Dir, PID: m.PID, Started: m.Started, Exit: m.Exit,
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
	return all, nil
}

// Ready says that the mount answers: `hull mount --background` returns.
func (c *Client) Ready(ctx context.Context) error { return c.do(ctx, &message{Op: opReady}, nil) }

// Fail says why this daemon cannot run, in a sentence for `hull mount` to print. It should exit then: it is not tried
// again, unless an earlier one was Ready.
func (c *Client) Fail(ctx context.Context, sentence string) error {
	return c.do(ctx, &message{Op: opFail, Text: sentence}, nil)
}

// StopRequest asks the daemon to end the mount. It does what Mode says and calls Done; after Done(ctx, nil) it exits,
// and the monitor starts no other. If the daemon dies before Done, the next one is asked again.
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
	}
	return r.client.do(ctx, m, nil)
}
