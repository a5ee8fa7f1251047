package engine

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"

	"hull/engine/network"
	"hull/engine/network/resolver"
)

// testLinks pretends to be networks, of which all there are have 10.0.0.0/16.
type testLinks struct {
	mu      sync.Mutex
	held    map[string][]network.Endpoint // by holder
	plugged map[string]bool               // by link
	ports   map[string][]network.Bound    // by holder
	last    int
	known   []string // names of networks beside the default one
	broken  error    // of every lease
	room    int      // how many places there are, if it is not 0
	cleared bool
	before  func() // called by Reconcile, if not nil
}

func newTestLinks() *testLinks {
	return &testLinks{held: map[string][]network.Endpoint{}, plugged: map[string]bool{}, ports: map[string][]network.Bound{}, known: []string{network.Default}}
}

func (l *testLinks) Find(name string) (*network.Network, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &network.Network{Name: name, Gateway: netip.MustParseAddr("10.0.0.1")}, slices.Contains(l.known, name)
}

func (l *testLinks) Reconcile(_ context.Context, live map[string]network.Live) error {
	if l.before != nil {
		l.before()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.held)
	clear(l.plugged)
	clear(l.ports)
	for holder, x := range live {
		l.held[holder] = slices.Clone(x.Endpoints)
		if x.Running {
			for _, p := range x.Endpoints {
				l.plugged[p.Link] = true
			}
		}
		if len(x.Ports) > 0 {
			l.ports[holder] = x.Ports
		}
	}
	return nil
}

func (l *testLinks) Lease(_ context.Context, holder string, want network.Endpoint) (network.Endpoint, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return want, l.broken
	}
	for other, places := range l.held {
		for _, p := range places {
			switch {
			case p == want:
				return p, nil
			case other == holder && p.Network == want.Network:
				return want, &network.Error{Kind: network.Busy, Err: errors.New("it has another place there")}
			case want.Addr.IsValid() && p.Addr == want.Addr:
				return want, &network.Error{Kind: network.Taken, Err: errors.New("somebody has the address")}
			}
		}
	}
	if l.room > 0 && len(l.held) >= l.room {
		return want, &network.Error{Kind: network.Full, Err: errors.New("all addresses are taken")}
	}
	if !want.Addr.IsValid() {
		l.last++
		want.Addr = netip.AddrFrom4([4]byte{10, 0, 1, byte(l.last)})
	}
	want.Link, want.MAC = "hv"+want.Addr.String(), "02:"+want.Addr.String()
	l.held[holder] = append(l.held[holder], want)
	return want, nil
}

func (l *testLinks) Give(from, to string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[to] = append(l.held[to], l.held[from]...)
	delete(l.held, from)
}

func (l *testLinks) Release(holder string, networks ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := slices.DeleteFunc(l.held[holder], func(p network.Endpoint) bool {
		goes := len(networks) == 0 || slices.Contains(networks, p.Network)
		if goes {
			delete(l.plugged, p.Link)
		}
		return goes
	})
	if l.held[holder] = left; len(left) == 0 {
		delete(l.held, holder)
	}
}

func (l *testLinks) Plug(_ context.Context, _ *os.File, endpoints []network.Endpoint) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range endpoints {
		if l.plugged[p.Link] {
			return errors.New("the link is there already")
		}
		l.plugged[p.Link] = true
	}
	return nil
}

func (l *testLinks) Unplug(_ context.Context, endpoints []network.Endpoint) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range endpoints {
		delete(l.plugged, p.Link)
	}
	return nil
}

func (l *testLinks) Publish(_ context.Context, holder string, _ network.Endpoint, ports []network.Port) ([]network.Bound, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var bound []network.Bound
	for _, p := range ports {
		b := network.Bound{HostIP: p.HostIP, HostPort: p.HostPort, Port: p.Port, Proto: p.Proto}
		if b.HostPort == 0 {
			b.HostPort = 40000 + p.Port
		}
		for _, others := range l.ports {
			for _, o := range others {
				if o.HostPort == b.HostPort && o.Proto == b.Proto {
					return nil, &network.Error{Kind: network.Taken, Err: errors.New("somebody has the port")}
				}
			}
		}
		bound = append(bound, b)
	}
	l.ports[holder] = bound
	return bound, nil
}

func (l *testLinks) Unpublish(_ context.Context, holder string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.ports, holder)
	return nil
}

func (l *testLinks) Clear(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cleared = true
	return nil
}

func (l *testLinks) Close() error { return nil }

// count is how many places, links and published ports there are.
func (l *testLinks) count() *foundLinks {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := &foundLinks{Plugged: len(l.plugged)}
	for _, p := range l.held {
		found.Places += len(p)
	}
	for _, p := range l.ports {
		found.Ports += len(p)
	}
	return found
}

// testNames pretends to be a resolver.
type testNames struct {
	mu    sync.Mutex
	hosts map[string]resolver.Host
}

func newTestNames() *testNames { return &testNames{hosts: map[string]resolver.Host{}} }

func (n *testNames) Put(h resolver.Host) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[h.ID] = h
}

func (n *testNames) Drop(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.hosts, id)
}

func (n *testNames) Listen([]resolver.Network) (uint16, error) { return 0, nil }

func (n *testNames) HostConf() resolver.Conf {
	return resolver.Conf{Servers: []netip.Addr{netip.MustParseAddr("127.0.0.53")}, Search: []string{"example.com"}, Options: []string{"edns0"}}
}

func (n *testNames) Close() {}

// known are the containers that are known, by name.
func (n *testNames) known() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []string
	for h := range maps.Values(n.hosts) {
		all = append(all, h.Name)
	}
	slices.Sort(all)
	return all
}
