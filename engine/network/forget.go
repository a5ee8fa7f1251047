package network

import (
	"errors"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// leaving are places whose connections are to be forgotten. All is guarded by Networks.mu.
type leaving struct {
	addresses map[netip.Addr]bool // given back, and not to be given again before
	links     []Endpoint          // to be taken down, with what the bridge knows of them
	forget    []netip.Addr
	done      chan struct{} // closed when what waits now is done; nil if nothing does
	wake      chan struct{}
	ended     bool
}

func newLeaving() leaving {
	return leaving{addresses: map[netip.Addr]bool{}, wake: make(chan struct{}, 1)}
}

// add has the connections of a place forgotten; with forever, nobody has it any more.
func (l *leaving) add(e Endpoint, forever bool) {
	for _, a := range []netip.Addr{e.Addr, e.Addr6} {
		if !a.IsValid() {
			continue
		}
		l.forget = append(l.forget, a)
		if forever {
			l.addresses[a] = true
		}
	}
	if forever {
		l.links = append(l.links, e)
	}
	if l.done == nil {
		l.done = make(chan struct{})
	}
	l.signal()
}

func (l *leaving) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// forget forgets the connections of a place that is still somebody's.
func (n *Networks) forget(e Endpoint) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.leaving.add(e, false)
}

func (n *Networks) endLeaving() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.leaving.ended = true
	n.leaving.signal()
}

// forgetting does what waits in leaving, all of it at once: the kernel's table of connections is long.
func (n *Networks) forgetting() {
	for range n.leaving.wake {
		n.mu.Lock()
		l := &n.leaving
		links, forget, done, ended := l.links, l.forget, l.done, l.ended
		l.links, l.forget, l.done = nil, nil, nil
		n.mu.Unlock()
		if len(links) > 0 {
			n.unlink(links)
		}
		if len(forget) > 0 {
			if err := forgetConnections(forget); err != nil {
				n.o.Logger.Warn("connections of containers that are gone cannot be forgotten", "op", "release", "err", err)
			}
		}
		n.mu.Lock()
		for _, e := range links {
			delete(l.addresses, e.Addr)
			delete(l.addresses, e.Addr6)
		}
		n.mu.Unlock()
		if done != nil {
			close(done)
		}
		if ended {
			return
		}
	}
}

// unlink takes links down, and lets nothing more through from them.
func (n *Networks) unlink(places []Endpoint) {
	host, err := dialLinks(nil)
	if err != nil {
		n.o.Logger.Warn("links that nobody has any more cannot be taken down", "op", "release", "err", err)
		return
	}
	defer host.close()
	var elements []element
	for _, e := range places {
		if err := host.do(delLink(e.Link)); err != nil && !errors.Is(err, unix.ENODEV) {
			n.o.Logger.Warn("a link that nobody has any more cannot be taken down", "network", e.Network, "op", "release", "err", err)
		}
		if mac, err := net.ParseMAC(e.MAC); err == nil {
			elements = append(elements, upNetwork{Endpoint: e, mac: mac}.elements()...)
		}
	}
	if err := n.tables.write(n.ctx, &change{drop: elements}); err != nil && KindOf(err) != Interrupted {
		n.o.Logger.Warn("rules for links that nobody has any more cannot be removed", "op", "release", "err", err)
	}
}

// ofAddresses finds the connections of some addresses, whichever way they go and whatever they are translated to.
type ofAddresses map[string]bool

// MatchConntrackFlow is what the library asks.
func (a ofAddresses) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	for _, ip := range []net.IP{flow.Forward.SrcIP, flow.Forward.DstIP, flow.Reverse.SrcIP, flow.Reverse.DstIP} {
		if a[ip.String()] {
			return true
		}
	}
	return false
}

// forgetConnections has the kernel forget the connections of addresses, so that whoever has one next gets none of them.
func forgetConnections(addresses []netip.Addr) error {
	of4, of6 := ofAddresses{}, ofAddresses{}
	for _, a := range addresses {
		if a.Is4() {
			of4[a.String()] = true
		} else {
			of6[a.String()] = true
		}
	}
	return errors.Join(forgetFlows(unix.AF_INET, of4, len(of4)), forgetFlows(unix.AF_INET6, of6, len(of6)))
}

// ofPorts finds connections to ports of the host.
type ofPorts []Bound

// MatchConntrackFlow is what the library asks.
func (l ofPorts) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	for _, b := range l {
		if flow.Forward.DstPort == b.HostPort && flow.Forward.Protocol == protocols[b.Proto] &&
			(b.HostIP.IsUnspecified() || flow.Forward.DstIP.Equal(net.IP(b.HostIP.AsSlice()))) {
			return true
		}
	}
	return false
}

func forgetPorts(ports []Bound) error {
	var of4, of6 ofPorts
	for _, b := range ports {
		if b.HostIP.Is4() {
			of4 = append(of4, b)
		} else {
			of6 = append(of6, b)
		}
	}
	return errors.Join(forgetFlows(unix.AF_INET, of4, len(of4)), forgetFlows(unix.AF_INET6, of6, len(of6)))
}

// forgetFlows has the kernel forget what a filter of some entries finds.
func forgetFlows(family netlink.InetFamily, filter netlink.CustomConntrackFilter, entries int) error {
	if entries == 0 {
		return nil
	}
	_, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, family, filter)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil // they ended by themselves meanwhile
	}
	return err
}
