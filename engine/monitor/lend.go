package monitor

import (
	"context"
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

// Sockets of the daemon's that are to outlive it: what comes to them while none lives waits for the next one, instead of being
// refused. The monitor reads nothing of them.
//
// They are numbers and not files, which Go would watch: they do not block, and every packet would wake the monitor.

// mostLent bounds what a daemon lends.
const mostLent = 4096

// Lend gives a socket to the monitor, under a name, in the place of an earlier one of that name. The descriptor stays the
// caller's.
func (c *Client) Lend(ctx context.Context, name string, fd int) error {
	err := c.do(ctx, &message{Op: opLend, Key: name, Slots: []slot{slotSocket}, socket: fd}, nil)
	if err == nil {
		c.kept.lend(name, fd)
	}
	return err
}

// Return has the monitor let go of a socket. One that it has not is no error.
func (c *Client) Return(ctx context.Context, name string) error {
	c.kept.takeBack(name)
	return c.do(ctx, &message{Op: opReturn, Key: name}, nil)
}

// Lent gives all that this daemon and earlier ones have lent, by name, with descriptors that are the caller's. They stay lent.
func (c *Client) Lent(ctx context.Context) (map[string]int, error) {
	all := lent{}
	err := c.do(ctx, &message{Op: opLent}, func(m *message) {
		if m.socket > 0 {
			c.kept.lend(m.Key, m.socket)
			all[m.Key], m.socket = m.socket, 0
		}
		m.close()
	})
	if err != nil {
		all.close()
		return nil, err
	}
	return all, nil
}

func (s *server) lend(m *message) *Error {
	_, again := s.lent[m.Key]
	if m.Key == "" || m.socket <= 0 || !again && len(s.lent) >= mostLent {
		return &Error{Op: string(opLend), Kind: Invalid, Sentence: "no socket came, or the monitor has too many"}
	}
	s.lent.put(m.Key, m.socket)
	m.socket = 0
	return nil
}

// lent are sockets by their names. A nil one has none.
type lent map[string]int

// put has a descriptor in the place of an earlier one of that name.
func (l lent) put(name string, fd int) {
	l.drop(name)
	l[name] = fd
}

func (l lent) drop(name string) {
	if fd, ok := l[name]; ok {
		_ = unix.Close(fd)
		delete(l, name)
	}
}

func (l lent) close() {
	for name := range l {
		l.drop(name)
	}
}

func (s *server) tellLent(d *daemon, seq uint64) {
	for _, name := range slices.Sorted(maps.Keys(s.lent)) {
		d.peer.send(func() *message {
			fd, ok := s.lent[name]
			if !ok {
				return nil
			}
			return &message{Op: opLent, Seq: seq, Key: name, Slots: []slot{slotSocket}, socket: fd}
		})
	}
}
