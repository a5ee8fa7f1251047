package network

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// hold is a socket that has a port of the host, so that nobody else takes it. The rules lead packets away before they
// come to it; what comes nevertheless is to [::1], or to an address of IPv6 while the container has none, and goes on by
// a proxy.
type hold struct {
	bound  Bound
	socket io.Closer
	proxy  *proxy
}

func (h *hold) close() {
	if h.socket != nil {
		_ = h.socket.Close()
	}
	if h.proxy != nil {
		h.proxy.close()
	}
}

// hold takes a port, or the first that is free of a range.
func (n *Networks) hold(p Port, to Endpoint) (*hold, error) {
	last := max(p.HostPort, p.HostPortEnd)
	for at := p.HostPort; ; at++ {
		h, err := n.bind(p, at, to)
		if err == nil {
			return h, nil
		}
		if at == last || !errors.Is(err, unix.EADDRINUSE) {
			if p.HostPort != last && errors.Is(err, unix.EADDRINUSE) {
				return nil, fail("publish", "", Taken, "every port from %d to %d/%s of %s is taken: %w", p.HostPort, last, p.Proto, p.HostIP, unix.EADDRINUSE)
			}
			return nil, n.taken(p, at, err)
		}
	}
}

// bind takes one port; 0 is any.
func (n *Networks) bind(p Port, at uint16, to Endpoint) (*hold, error) {
	family, target := "4", to.Addr
	proxied := false
	if p.HostIP.Is6() {
		family, proxied = "6", p.HostIP == netip.IPv6Loopback() || p.HostIP.IsUnspecified() || !to.Addr6.IsValid()
		if to.Addr6.IsValid() {
			target = to.Addr6
		}
	}
	h := &hold{bound: Bound{HostIP: p.HostIP, HostPort: at, Port: p.Port, Proto: p.Proto}}
	where := net.JoinHostPort(p.HostIP.String(), strconv.Itoa(int(at)))
	config := net.ListenConfig{KeepAlive: -1}
	config.SetMultipathTCP(false)
	if p.Proto == "udp" {
		c, err := config.ListenPacket(n.ctx, "udp"+family, where)
		if err != nil {
			return nil, err
		}
		udp := c.(*net.UDPConn)
		h.socket, h.bound.HostPort = udp, udp.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		if proxied {
			h.proxy = newProxy(n.ctx, n.o.Logger, netip.AddrPortFrom(target, p.Port))
			h.proxy.work.Go(func() { h.proxy.serveUDP(udp) })
		} else {
			_ = udp.SetReadBuffer(1) // nobody reads
		}
		return h, nil
	}
	l, err := config.Listen(n.ctx, "tcp"+family, where)
	if err != nil {
		return nil, err
	}
	tcp := l.(*net.TCPListener)
	h.socket, h.bound.HostPort = tcp, tcp.Addr().(*net.TCPAddr).AddrPort().Port()
	if proxied {
		h.proxy = newProxy(n.ctx, n.o.Logger, netip.AddrPortFrom(target, p.Port))
		h.proxy.work.Go(func() { h.proxy.serveTCP(tcp) })
	}
	return h, nil
}

// forgetPorts forgets the connections of udp to the host itself, over ports that now lead elsewhere.
func (n *Networks) forgetPorts(p *publication) {
	var ports []Bound
	for _, h := range p.holds {
		if h.bound.Proto == "udp" {
			ports = append(ports, h.bound)
		}
	}
	if len(ports) == 0 {
		return
	}
	if err := forgetPorts(ports); err != nil {
		n.o.Logger.Warn("connections over ports that are now published cannot be forgotten", "op", "publish", "err", err)
	}
}
