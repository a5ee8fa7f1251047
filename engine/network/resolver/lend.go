package resolver

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
)

// Lender has sockets outlive this process: what is asked while nobody answers waits in them for the next one.
type Lender interface {
	// Lend is told of a socket under a name; its descriptor stays the caller's.
	Lend(name string, fd int) error
	// Return is told that one is over.
	Return(name string) error
}

// lentPrefix is that of the names of sockets: the way of asking and the address follow.
const lentPrefix = "names/"

func lentName(way string, addr netip.Addr) string { return lentPrefix + way + "/" + addr.String() }

// inherit takes over the sockets that an earlier process has lent. Of each address both ways count, or neither.
func inherit(lent map[string]int) map[netip.Addr]sockets {
	all := map[netip.Addr]sockets{}
	for name, fd := range lent {
		f := os.NewFile(uintptr(fd), name)
		way, text, _ := strings.Cut(strings.TrimPrefix(name, lentPrefix), "/")
		if addr, err := netip.ParseAddr(text); err == nil && strings.HasPrefix(name, lentPrefix) {
			s := all[addr]
			switch way {
			case "udp":
				if c, err := net.FilePacketConn(f); err == nil {
					s.udp, _ = c.(*net.UDPConn)
				}
			case "tcp":
				if l, err := net.FileListener(f); err == nil {
					s.tcp, _ = l.(*net.TCPListener)
				}
			}
			all[addr] = s
		}
		_ = f.Close()
	}
	for addr, s := range all {
		if at := s.port(); at == 0 {
			s.close()
			delete(all, addr)
		}
	}
	return all
}

// port is that of both; 0 if they have not one.
func (s sockets) port() uint16 {
	if s.udp == nil || s.tcp == nil {
		return 0
	}
	udp, ok := s.udp.LocalAddr().(*net.UDPAddr)
	tcp, isTCP := s.tcp.Addr().(*net.TCPAddr)
	if !ok || !isTCP || udp.Port != tcp.Port {
		return 0
	}
	return uint16(udp.Port)
}

// open answers the sockets of an address: those of an earlier process if they are of the same port as the others, or new ones.
func (r *Resolver) open(addr netip.Addr) (sockets, uint16, error) {
	if s, ok := r.inherited[addr]; ok {
		delete(r.inherited, addr)
		if at := s.port(); r.at == 0 || at == r.at {
			return s, at, nil
		}
		s.close()
	}
	s, at, err := bind(r.ctx, addr, r.at)
	if err == nil {
		r.lend(addr, s)
	}
	return s, at, err
}

// lend has sockets outlive this process, as far as that can be.
func (r *Resolver) lend(addr netip.Addr, s sockets) {
	if r.lender == nil {
		return
	}
	for way, c := range map[string]syscall.Conn{"udp": s.udp, "tcp": s.tcp} {
		raw, err := c.SyscallConn()
		var refused error
		if err == nil {
			err = raw.Control(func(fd uintptr) { refused = r.lender.Lend(lentName(way, addr), int(fd)) })
		}
		if err = errors.Join(err, refused); err != nil {
			r.log.Debug("questions for names will not wait while no daemon lives", "address", addr, "err", err)
		}
	}
}

// over has the lender let go of the sockets of an address.
func (r *Resolver) over(addr netip.Addr) {
	if r.lender == nil {
		return
	}
	for _, way := range []string{"udp", "tcp"} {
		if err := r.lender.Return(lentName(way, addr)); err != nil {
			r.log.Debug("sockets for questions are kept that nobody needs", "address", addr, "err", err)
		}
	}
}

// disinherit lets go of what an earlier process had and this one has no use for.
func (r *Resolver) disinherit() {
	for addr, s := range r.inherited {
		s.close()
		r.over(addr)
	}
	clear(r.inherited)
}
