package monitor

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// peer is a message socket of the loop: the daemon's, or a control connection. Nothing is ever waited for: what the
// other end does not take is queued.
type peer struct {
	fd      int
	room    *[]byte // of receive: the loop's
	src     *source
	queue   []func() *message // made when sent: a descriptor may be gone by then, and is not held for its sake
	receive func(*peer, *message)
	gone    func(*peer)
	blocked bool // the other end's buffer is full: EPOLLOUT is watched
	closed  bool
	owed    map[uint64]op // requests that are not answered yet, of a control connection
}

// newPeer takes over fd.
func newPeer(l *loop, fd int, receive func(*peer, *message), gone func(*peer)) (*peer, error) {
	p := &peer{fd: fd, room: &l.room, receive: receive, gone: gone}
	err := os.NewSyscallError("fcntl", unix.SetNonblock(fd, true))
	if err == nil {
		p.src, err = l.watch(fd, unix.EPOLLIN, p.ready)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return p, nil
}

func (p *peer) ready(events uint32) {
	if events&unix.EPOLLOUT != 0 {
		p.flush()
	}
	if events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		p.read()
	}
}

// read handles all that has arrived. A message that makes no sense ends the connection.
func (p *peer) read() {
	for !p.closed {
		m, err := receive(p.fd, p.room)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return
		case errors.Is(err, unix.EINTR):
		case err != nil:
			p.close()
			p.gone(p)
			return
		default:
			p.receive(p, m)
			m.close()
		}
	}
}

// send sends a message; make may give nil if there is nothing to say any more.
func (p *peer) send(make func() *message) {
	if p.closed {
		return
	}
	p.queue = append(p.queue, make)
	if !p.blocked {
		p.flush()
	}
}

func (p *peer) answer(seq uint64, err *Error) {
	p.send(func() *message { return &message{Op: opAnswer, Seq: seq, Failure: err} })
}

func (p *peer) flush() {
	for len(p.queue) > 0 && !p.closed {
		if m := p.queue[0](); m != nil {
			body, rights, err := m.pack()
			if err == nil {
				_, err = unix.SendmsgN(p.fd, body, rights, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
			}
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if errors.Is(err, unix.EAGAIN) {
				p.blocked = true
				p.src.change(unix.EPOLLIN | unix.EPOLLOUT)
				return
			}
			if err != nil { // reading tells that it is gone
				p.queue = nil
				return
			}
		}
		p.queue = p.queue[1:]
	}
	if p.blocked && !p.closed {
		p.blocked = false
		p.src.change(unix.EPOLLIN)
	}
}

func (p *peer) close() {
	if p.closed {
		return
	}
	p.closed = true
	p.queue = nil
	p.src.drop()
	_ = unix.Close(p.fd)
}
