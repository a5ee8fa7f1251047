package network

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// proxy brings what comes to a socket to a container, for which the kernel has no rule: there is no route_localnet for [::1].
type proxy struct {
	ctx    context.Context //nolint:containedctx // of the port: its connections end with it
	cancel context.CancelFunc
	target netip.AddrPort
	log    *slog.Logger
	work   sync.WaitGroup
	slots  chan struct{}

	mu       sync.Mutex
	sessions map[netip.AddrPort]*net.UDPConn
}

const (
	mostProxied = 1024             // connections of a port at a time
	dialTimeout = 10 * time.Second // for a container that answers nothing at all
	quietUDP    = 90 * time.Second // after which nobody expects an answer, as in the kernel
)

func newProxy(ctx context.Context, log *slog.Logger, target netip.AddrPort) *proxy {
	p := &proxy{target: target, log: log, slots: make(chan struct{}, mostProxied), sessions: map[netip.AddrPort]*net.UDPConn{}}
	p.ctx, p.cancel = context.WithCancel(ctx)
	return p
}

// close ends the connections; whoever accepts them has been closed before.
func (p *proxy) close() {
	p.cancel()
	p.mu.Lock()
	for _, c := range p.sessions {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.work.Wait()
}

// serveTCP accepts until the listener is closed.
func (p *proxy) serveTCP(l *net.TCPListener) {
	for {
		c, err := l.AcceptTCP()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // too many files, for one
			p.log.Warn("a connection to a published port cannot be accepted", "op", "publish", "err", err)
			select {
			case <-time.After(time.Second):
			case <-p.ctx.Done():
				return
			}
			continue
		}
		select {
		case p.slots <- struct{}{}:
			p.work.Go(func() {
				defer func() { <-p.slots }()
				p.carry(c)
			})
		default:
			_ = c.Close()
		}
	}
}

// carry brings one connection's bytes both ways, and each end of file, until both are over.
func (p *proxy) carry(client *net.TCPConn) {
	defer client.Close()
	dialer := net.Dialer{Timeout: dialTimeout}
	c, err := dialer.DialContext(p.ctx, "tcp", p.target.String())
	if err != nil {
		_ = client.SetLinger(0) // it is refused, as the container would
		return
	}
	server := c.(*net.TCPConn)
	defer server.Close()
	stop := context.AfterFunc(p.ctx, func() {
		_ = client.Close()
		_ = server.Close()
	})
	defer stop()
	var both sync.WaitGroup
	one := func(to, from *net.TCPConn) {
		if _, err := io.Copy(to, from); err != nil {
			_ = to.Close() // the other way is over too
			_ = from.Close()
			return
		}
		_ = to.CloseWrite()
	}
	both.Go(func() { one(server, client) })
	one(client, server)
	both.Wait()
}

// serveUDP brings packets to the container until the socket is closed. Each client has a socket of its own, by which the
// answers come.
func (p *proxy) serveUDP(socket *net.UDPConn) {
	packet := make([]byte, 1<<16)
	for {
		size, client, err := socket.ReadFromUDPAddrPort(packet)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // of a client that is gone
		}
		if c := p.session(socket, client); c != nil {
			_, _ = c.Write(packet[:size]) // packets may be lost
		}
	}
}

// session is a client's socket; nil if there are too many.
func (p *proxy) session(socket *net.UDPConn, client netip.AddrPort) *net.UDPConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.sessions[client]; c != nil {
		return c
	}
	if p.ctx.Err() != nil || len(p.sessions) >= mostProxied {
		return nil
	}
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(p.target))
	if err != nil {
		return nil
	}
	p.sessions[client] = c
	p.work.Go(func() {
		defer func() {
			p.mu.Lock()
			delete(p.sessions, client)
			p.mu.Unlock()
			_ = c.Close()
		}()
		answer := make([]byte, 1<<16)
		for {
			_ = c.SetReadDeadline(time.Now().Add(quietUDP))
			size, err := c.Read(answer)
			if err != nil {
				return
			}
			_, _ = socket.WriteToUDPAddrPort(answer[:size], client)
		}
	})
	return c
}
