package monitor

import (
	"context"
	"os"
	"sync"

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
	kept   *keep

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
	keep  *kept // what is kept if the answer is good; nil for nothing
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
		lost: make(chan struct{}), waiting: map[uint64]*call{}, kept: newKeep(),
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
	c.kept.close()
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
		if w != nil && w.keep != nil && m.Op == opAnswer && m.Failure == nil {
			c.kept.add(w.keep)
			w.keep = nil
		}
		c.mu.Unlock()
		if w != nil && m.Op == opHeld && !m.cut {
			c.kept.addHeld(m)
		}
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
			c.kept.ended(*m.Exit)
			c.exits.put(*m.Exit)
		}
	case opTrouble:
		c.faults.put(Trouble{ID: m.ID, Sentence: m.Text})
	case opKept:
		if one := m.duplicate(op(m.Text)); one != nil && !m.cut && m.Hold != "" {
			c.kept.add(one)
		}
	case opInterim:
		c.kept.follow(m.take(slotInterim))
	case opOver:
		c.kept.over(m.Hold)
	case opStop:
		c.kept.asked(m.Mode)
		c.stops.put(&StopRequest{Mode: m.Mode, client: c})
	default: // a later monitor's news
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
	if m.Op == opAdopt || m.Op == opSession || m.Op == opAttach {
		w.keep = m.duplicate(m.Op)
	}
	c.mu.Lock()
	if err := c.dead; err != nil {
		c.mu.Unlock()
		w.keep.close()
		return err
	}
	c.seq++
	m.Seq = c.seq
	c.waiting[m.Seq] = w
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, m.Seq)
		refused := w.keep
		c.mu.Unlock()
		refused.close()
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
