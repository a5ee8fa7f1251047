package resolver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

const (
	askLargest = 4096 // a longer question is none

	allOpen  = 4096 // questions under way, of all containers
	allConns = 4096 // connections open, of all containers

	connIdle  = 10 * time.Second // a connection without a question is closed
	connWrite = 5 * time.Second  // and one that does not take its answer
	retry     = 100 * time.Millisecond
)

// busy counts what is under way for all containers.
type busy struct{ open, conns atomic.Int64 }

// listener answers on the sockets of one address.
type listener struct {
	r       *Resolver
	network string
	sockets sockets
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

// serve begins to answer on an address of a network.
func (r *Resolver) serve(network string, s sockets) *listener {
	l := &listener{r: r, network: network, sockets: s, conns: map[net.Conn]struct{}{}}
	ctx, cancel := context.WithCancel(r.ctx)
	l.cancel = cancel
	l.running.Go(func() { l.datagrams(ctx) })
	l.running.Go(func() { l.connections(ctx) })
	return l
}

// close ends it, and returns when nothing is under way any more.
func (l *listener) close() {
	l.cancel()
	l.sockets.close()
	l.mu.Lock()
	l.closed = true
	for c := range l.conns {
		c.Close()
	}
	l.mu.Unlock()
	l.running.Wait()
}

// datagrams reads questions until the socket is closed. It costs a container that asks too much, or somebody who is not
// one, no more than the reading.
func (l *listener) datagrams(ctx context.Context) {
	buf := make([]byte, askLargest)
	for {
		n, from, err := l.sockets.udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			if l.over(ctx, "udp", err) {
				return
			}
			continue
		}
		by := l.r.names.asker(l.network, from.Addr().Unmap())
		if by == nil {
			// Nobody of ours: one that refuses is easier to understand than one that is silent.
			if out := l.r.answerSafely(ctx, nil, buf[:n], true); out != nil {
				l.send(out, from)
			}
			continue
		}
		if !l.begin(by) {
			continue
		}
		wire := append([]byte(nil), buf[:n]...)
		l.running.Go(func() {
			defer l.end(by)
			if out := l.r.answerSafely(ctx, by, wire, true); out != nil {
				l.send(out, from)
			}
		})
	}
}

// begin counts a question in, or says that there are too many.
func (l *listener) begin(by *host) bool {
	if l.r.busy.open.Load() >= allOpen || !by.allowance.ask(time.Now()) {
		return false
	}
	l.r.busy.open.Add(1)
	return true
}

func (l *listener) end(by *host) {
	l.r.busy.open.Add(-1)
	by.allowance.done()
}

// send sends a datagram. What cannot be sent is asked for again.
func (l *listener) send(wire []byte, to netip.AddrPort) {
	if _, err := l.sockets.udp.WriteToUDPAddrPort(wire, to); err != nil && !errors.Is(err, net.ErrClosed) {
		l.r.log.Debug("an answer could not be sent", "network", l.network, "to", to, "err", err)
	}
}

// over says whether reading has ended for good, and else waits before it is tried again: there may be too few
// descriptors, or too little memory, for a moment.
func (l *listener) over(ctx context.Context, what string, err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return true
	}
	l.r.log.Warn("a question for a name could not be received", "network", l.network, "by", what, "err", err)
	select {
	case <-ctx.Done():
		return true
	case <-time.After(retry):
		return false
	}
}

// connections accepts connections until the socket is closed.
func (l *listener) connections(ctx context.Context) {
	for {
		conn, err := l.sockets.tcp.AcceptTCP()
		if err != nil {
			if l.over(ctx, "tcp", err) {
				return
			}
			continue
		}
		from := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
		by := l.r.names.asker(l.network, from.Addr().Unmap())
		if by == nil || !l.keep(by, conn) {
			conn.Close()
			continue
		}
		l.running.Go(func() {
			defer l.leave(by, conn)
			l.talk(ctx, from.Addr().Unmap(), conn)
		})
	}
}

// keep counts a connection in, or says that there are too many.
func (l *listener) keep(by *host, conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.r.busy.conns.Load() >= allConns || !by.allowance.connect() {
		return false
	}
	l.r.busy.conns.Add(1)
	l.conns[conn] = struct{}{}
	return true
}

func (l *listener) leave(by *host, conn net.Conn) {
	conn.Close()
	by.allowance.disconnect()
	l.r.busy.conns.Add(-1)
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
}

// talk answers one question of a connection after the other. Whose it is is looked up for each: the address may have
// become another container's.
func (l *listener) talk(ctx context.Context, from netip.Addr, conn net.Conn) {
	for {
		if conn.SetDeadline(time.Now().Add(connIdle)) != nil {
			return
		}
		wire, err := readFrame(conn, askLargest)
		if err != nil {
			return
		}
		by := l.r.names.asker(l.network, from)
		if by == nil || !l.begin(by) {
			return
		}
		out := l.r.answerSafely(ctx, by, wire, false)
		l.end(by)
		if out == nil || conn.SetWriteDeadline(time.Now().Add(connWrite)) != nil {
			return
		}
		if _, err := conn.Write(framed(out)); err != nil {
			return
		}
	}
}

// answerSafely answers, and keeps the daemon alive should a message make the library fall over.
func (r *Resolver) answerSafely(ctx context.Context, by *host, wire []byte, datagram bool) (out []byte) {
	defer func() {
		if trouble := recover(); trouble != nil {
			r.log.Error("a question for a name could not be worked on", "err", trouble, "message", wire, "stack", string(debug.Stack()))
			out = nil
		}
	}()
	return r.answer(ctx, by, wire, datagram)
}
