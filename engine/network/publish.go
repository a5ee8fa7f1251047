package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// publication is what a holder publishes.
type publication struct {
	to    Endpoint
	holds []*hold
}

func (p *publication) bounds() []Bound {
	list := make([]Bound, len(p.holds))
	for i, h := range p.holds {
		list[i] = h.bound
	}
	return list
}

func (p *publication) elements() []element {
	var list []element
	for _, h := range p.holds {
		list = append(list, publishedElements(h.bound, p.to)...)
	}
	return list
}

func (p *publication) close() {
	for _, h := range p.holds {
		h.close()
	}
}

var protocols = map[string]byte{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP}

// publishedElements are those of a port; none if only a proxy has it.
func publishedElements(b Bound, to Endpoint) []element {
	target := to.Addr
	host, everywhere := setHost4, setAny4
	if b.HostIP.Is6() {
		target, host, everywhere = to.Addr6, setHost6, setAny6
	}
	if !target.IsValid() || b.HostIP == netip.IPv6Loopback() {
		return nil
	}
	proto, value := []byte{protocols[b.Proto]}, key(target.AsSlice(), port(b.Port))
	if b.HostIP.IsUnspecified() {
		return []element{{everywhere, key(proto, port(b.HostPort)), value}}
	}
	return []element{{host, key(b.HostIP.AsSlice(), proto, port(b.HostPort)), value}}
}

// checkPort tells why a port cannot be published, and writes its address as the kernel does.
func checkPort(p Port) (Port, error) {
	bad := func(format string, args ...any) (Port, error) {
		return p, fail("publish", "", Invalid, format, args...)
	}
	p.HostIP = p.HostIP.Unmap()
	switch {
	case p.Port == 0:
		return bad("port 0 of a container cannot be published")
	case protocols[p.Proto] == 0 && p.Proto == "sctp":
		return p, fail("publish", "", Unsupported, "ports of sctp cannot be published; those of tcp and udp can")
	case protocols[p.Proto] == 0:
		return bad("%q is no protocol of ports; tcp and udp are", p.Proto)
	case !p.HostIP.IsValid() || p.HostIP.IsMulticast():
		return bad("ports cannot be published on the address %q", p.HostIP)
	case p.HostIP.Zone() != "":
		return bad("ports cannot be published on %s: an address of one interface only is not supported", p.HostIP)
	case p.HostPortEnd != 0 && p.HostPortEnd < p.HostPort:
		return bad("the range of ports %d-%d ends before it begins", p.HostPort, p.HostPortEnd)
	}
	return p, nil
}

// Publish publishes ports of a place, all or none, and answers those that it took. A holder's ports stay until
// [Networks.Unpublish].
func (n *Networks) Publish(ctx context.Context, holder string, to Endpoint, ports []Port) ([]Bound, error) {
	if len(ports) == 0 {
		return nil, nil
	}
	if _, err := n.ensure(ctx, to.Network); err != nil {
		return nil, err
	}
	made := &publication{to: to}
	for _, p := range ports {
		p, err := checkPort(p)
		if err == nil {
			var h *hold
			if h, err = n.hold(p, to); err == nil {
				made.holds = append(made.holds, h)
			}
		}
		if err != nil {
			made.close()
			return nil, err
		}
	}
	n.crash(PointBound)
	if err := n.tables.write(ctx, &change{add: made.elements()}); err != nil {
		_ = n.tables.write(context.WithoutCancel(ctx), &change{drop: made.elements()})
		made.close()
		return nil, n.noRules(to.Network, err)
	}
	n.mu.Lock()
	have := n.published[holder]
	if have != nil && have.to == to {
		have = &publication{to: to, holds: slices.Concat(have.holds, made.holds)}
	} else {
		have = made
	}
	n.published[holder] = have
	n.mu.Unlock()
	// Packets of udp that came before this have made connections to the host itself, which would go on.
	n.forgetPorts(made)
	return made.bounds(), nil
}

// Unpublish ends all that a holder publishes, with the connections over it.
func (n *Networks) Unpublish(ctx context.Context, holder string) error {
	n.mu.Lock()
	p := n.published[holder]
	delete(n.published, holder)
	n.mu.Unlock()
	if p == nil {
		return nil
	}
	err := n.tables.write(ctx, &change{drop: p.elements()})
	p.close()
	n.forget(p.to)
	if err != nil {
		return n.noRules(p.to.Network, err)
	}
	return nil
}

// taken says who has a port of the host.
func (n *Networks) taken(p Port, at uint16, err error) error {
	what := fmt.Sprintf("port %d/%s of %s", at, p.Proto, p.HostIP)
	if !errors.Is(err, unix.EADDRINUSE) {
		if errors.Is(err, unix.EADDRNOTAVAIL) {
			return fail("publish", "", Invalid, "%s cannot be published: the host has no such address", what)
		}
		return failed("publish", "", err, "%s cannot be published", what)
	}
	by := n.publisher(p, at)
	if by == "" {
		by = socketOwner(p.Proto, at)
	}
	if by != "" {
		return fail("publish", "", Taken, "%s is taken by %s; publish another port of the host, or 0 for any free one", what, by)
	}
	return fail("publish", "", Taken, "%s is taken: %w", what, unix.EADDRINUSE)
}

// publisher is which holder publishes a port; empty if none does.
func (n *Networks) publisher(p Port, at uint16) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	for holder, pub := range n.published {
		for _, h := range pub.holds {
			b := h.bound
			same := b.HostIP == p.HostIP || b.HostIP.Is4() == p.HostIP.Is4() && (b.HostIP.IsUnspecified() || p.HostIP.IsUnspecified())
			if b.HostPort == at && b.Proto == p.Proto && same {
				return n.title(holder)
			}
		}
	}
	return ""
}
