package network

import (
	"context"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// ensure has a network up, and answers it. Of one that is, it waits for nobody.
func (n *Networks) ensure(ctx context.Context, name string) (*held, error) {
	if h, up := n.isUp(name); h == nil {
		return nil, notThere("lease", name)
	} else if up {
		return h, nil
	}
	if err := n.lock(ctx); err != nil {
		return nil, err
	}
	h, up := n.isUp(name)
	var err error
	switch {
	case h == nil:
		err = notThere("lease", name)
	case !up:
		err = n.bringUp(ctx, h)
	}
	n.unlock()
	if err != nil {
		return nil, err
	}
	if !up {
		n.changed()
	}
	return h, nil
}

func (n *Networks) isUp(name string) (*held, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.networks[name]
	return h, h != nil && h.up
}

// bringUp makes a network's bridge and its rules. The caller has the gate.
func (n *Networks) bringUp(ctx context.Context, h *held) error {
	if n.watch == nil {
		w, err := n.newWatch()
		if err != nil {
			return failed("start", h.network.Name, err, "what becomes of networks cannot be watched")
		}
		n.watch = w
	}
	v := h.network
	index, mtu, err := n.bridge(&v)
	if err != nil {
		return err
	}
	n.crash(PointBridged)
	elements := networkElements(v)
	n.mu.Lock()
	if n.resolver != 0 {
		elements = append(elements, resolverElement(n.resolver))
	}
	n.mu.Unlock()
	if err := n.tables.write(ctx, &change{add: elements}); err != nil {
		return n.noRules(v.Name, err)
	}
	if err := n.forward(v); err != nil {
		n.o.Logger.Warn("the host forwards no packets, so that containers reach nobody but each other and the host", "network", v.Name, "op", "start", "err", err)
	}
	n.mu.Lock()
	h.network, h.index, h.mtu, h.up = v, index, mtu, true
	n.mu.Unlock()
	n.crash(PointUp)
	return nil
}

// noRules says what a failure to write rules means.
func (n *Networks) noRules(name string, err error) error {
	if KindOf(err) == Interrupted {
		return err
	}
	if lacksRules(err) {
		err = unix.EOPNOTSUPP
	}
	return lacking(partRules, name, err, "the rules of the network %s cannot be written", name)
}

// The parts of the kernel that networks need.
const (
	partBridges = "bridges (the module bridge)"
	partPairs   = "pairs of links (the module veth)"
	partRules   = "part of nftables that networks need (nf_tables with inet, bridge, nat, fib and masq)"
)

// lacking is failed for what the kernel says no to if it has not that part.
func lacking(part, name string, err error, format string, args ...any) error {
	if errors.Is(err, unix.EOPNOTSUPP) {
		return fail("start", name, Unsupported, "this kernel has no %s; containers with the network host or none work: %w", part, err)
	}
	return failed("start", name, err, format, args...)
}

// lacksRules tells whether an error says that the kernel has no such tables or rules.
func lacksRules(err error) bool {
	for _, e := range []error{unix.EOPNOTSUPP, unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT, unix.ENOENT} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// networkElements are those of a network that is up.
func networkElements(v Network) []element {
	name := bytes16(v.Bridge)
	list := []element{
		{setBridges, key(name), ""},
		{setSame, key(name, name), ""},
		{setOwn4, key(name, v.Gateway.AsSlice()), ""},
		{setGates4, key(v.Gateway.AsSlice()), ""},
		{setNets4, string(v.Subnet.Addr().AsSlice()), string(end(v.Subnet).AsSlice())},
	}
	if v.Subnet6.IsValid() {
		list = append(list,
			element{setOwn6, key(name, v.Gateway6.AsSlice()), ""},
			element{setGates6, key(v.Gateway6.AsSlice()), ""},
			element{setNets6, string(v.Subnet6.Addr().AsSlice()), string(end(v.Subnet6).AsSlice())})
	}
	return list
}

// down takes a network down: its bridge, and the rules. The caller has the gate.
func (n *Networks) down(h *held) error {
	n.mu.Lock()
	v := h.network
	h.up = false // whoever watches finds nothing to restore
	n.mu.Unlock()
	link, err := n.ownBridge(&v)
	if err != nil || link == nil {
		return err
	}
	links, err := portsOf(link.Attrs().Index)
	err = errors.Join(err, removeLinks(append(links, link)))
	return errors.Join(err, n.tables.write(n.ctx, &change{drop: networkElements(v)}))
}

// Gateways answers the addresses of all networks that are up: where a resolver listens.
func (n *Networks) Gateways() []netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []netip.Addr
	for _, h := range n.networks {
		if !h.up {
			continue
		}
		if list = append(list, h.network.Gateway); h.network.Gateway6.IsValid() {
			list = append(list, h.network.Gateway6)
		}
	}
	return list
}

// SetResolver has port 53 of the gateways lead to another port of theirs; 0 ends that.
func (n *Networks) SetResolver(ctx context.Context, to uint16) error {
	n.mu.Lock()
	n.resolver = to
	n.mu.Unlock()
	e := resolverElement(to)
	if to == 0 {
		return n.tables.write(ctx, &change{drop: []element{e}})
	}
	return n.tables.write(ctx, &change{add: []element{e}})
}

func resolverElement(to uint16) element {
	return element{setResolver, string(port(53)), string(port(to))}
}
