package network

import (
	"cmp"
	"context"
	"crypto/rand"
	"net"
	"net/netip"
	"slices"
)

// Leases answers who has an address on a network, by holder. It never waits.
func (n *Networks) Leases(network string) []Lease {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.networks[network]
	if h == nil {
		return nil
	}
	list := make([]Lease, 0, len(h.holders))
	for holder, e := range h.holders {
		list = append(list, Lease{holder, e})
	}
	slices.SortFunc(list, func(a, b Lease) int { return cmp.Compare(a.Holder, b.Holder) })
	return list
}

// Held answers the endpoints of a holder, by their names. It never waits.
func (n *Networks) Held(holder string) []Endpoint {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := make([]Endpoint, 0, len(n.holders[holder]))
	for _, e := range n.holders[holder] {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Endpoint) int {
		return cmp.Or(cmp.Compare(len(a.Name), len(b.Name)), cmp.Compare(a.Name, b.Name)) // eth2 is before eth10
	})
	return list
}

// Holder answers who has an address. It never waits.
func (n *Networks) Holder(addr netip.Addr) (Lease, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l, ok := n.addresses[addr.Unmap().WithZone("")]
	return l, ok
}

// Lease takes a place on want.Network: the address, MAC and name that want has, and others where it has none. It brings
// the network up if it is not. A holder has one place on a network: what it already has is answered if it is as wanted.
func (n *Networks) Lease(ctx context.Context, holder string, want Endpoint) (Endpoint, error) {
	if _, err := n.ensure(ctx, want.Network); err != nil {
		return Endpoint{}, err
	}
	for {
		n.mu.Lock()
		e, err := n.take(holder, want)
		again := n.leaving.next()
		n.mu.Unlock()
		if err == nil || again == nil || (KindOf(err) != Full && KindOf(err) != Taken) {
			return e, err
		}
		// What others have given back a moment ago is free as soon as the connections over it are forgotten.
		if err := n.leaving.await(ctx, again); err != nil {
			return Endpoint{}, failed("lease", want.Network, err, "no address is free yet")
		}
	}
}

// take takes a place. The caller holds mu.
func (n *Networks) take(holder string, want Endpoint) (Endpoint, error) {
	h := n.networks[want.Network]
	if h == nil {
		return Endpoint{}, notThere("lease", want.Network)
	}
	if have, ok := h.holders[holder]; ok {
		if fits(have, want) {
			return have, nil
		}
		return Endpoint{}, fail("lease", want.Network, Exists, "%s is on the network %s already, as %s", n.title(holder), want.Network, have.Addr)
	}
	e := want
	var err error
	if !e.Addr.IsValid() {
		e.Addr, err = n.free(h)
	} else {
		err = n.checkAddress(h, e.Addr, h.network.Subnet, h.network.Gateway)
	}
	if err != nil {
		return Endpoint{}, err
	}
	if e.Addr6.IsValid() {
		if err := n.checkAddress(h, e.Addr6, h.network.Subnet6, h.network.Gateway6); err != nil {
			return Endpoint{}, err
		}
	} else if h.network.Subnet6.IsValid() {
		e.Addr6 = beside(h.network, e.Addr)
		if n.inUse(e.Addr6) { // somebody wanted it by its own
			e.Addr6 = netip.Addr{}
		}
	}
	if e.MAC == "" {
		e.MAC = h.freeMAC(e.Addr)
	}
	if e.MAC, err = h.checkMAC(e.MAC); err != nil {
		return Endpoint{}, err
	}
	if e.Name == "" {
		e.Name = n.freeName(holder)
	}
	if e.Link == "" {
		e.Link = newLink()
	}
	if err := n.checkNames(holder, e); err != nil {
		return Endpoint{}, err
	}
	n.note(h, holder, e)
	return e, nil
}

// note makes a place a holder's. The caller holds mu.
func (n *Networks) note(h *held, holder string, e Endpoint) {
	h.holders[holder] = e
	h.macs[e.MAC] = true
	if n.holders[holder] == nil {
		n.holders[holder] = map[string]Endpoint{}
	}
	n.holders[holder][e.Network] = e
	n.addresses[e.Addr] = Lease{holder, e}
	if e.Addr6.IsValid() {
		n.addresses[e.Addr6] = Lease{holder, e}
	}
}

// fits tells whether a place is what is wanted.
func fits(have, want Endpoint) bool {
	return (!want.Addr.IsValid() || want.Addr == have.Addr) && (!want.Addr6.IsValid() || want.Addr6 == have.Addr6) &&
		(want.MAC == "" || want.MAC == have.MAC) && (want.Name == "" || want.Name == have.Name) && (want.Link == "" || want.Link == have.Link)
}

// free finds an address that nobody has, beginning after the last that was given: one given back stays unused for long.
func (n *Networks) free(h *held) (netip.Addr, error) {
	size := uint32(1) << (32 - h.network.Subnet.Bits())
	base := number(h.network.Subnet.Addr())
	at := h.next
	for range size {
		at++
		if at >= size-1 { // the last is everybody's
			at = 2 // 0 is nobody's and 1 the gateway's
		}
		if a := address(base + at); at < size-1 && !n.inUse(a) {
			h.next = at
			return a, nil
		}
	}
	return netip.Addr{}, fail("lease", h.network.Name, Full,
		"the network %s has no address left: containers, stopped ones too, have all %d of %s", h.network.Name, size-3, h.network.Subnet)
}

// inUse tells whether somebody has an address, or had it a moment ago. The caller holds mu.
func (n *Networks) inUse(a netip.Addr) bool {
	_, ok := n.addresses[a]
	return ok || n.leaving.addresses[a]
}

// checkAddress tells why an address is not to be had. The caller holds mu.
func (n *Networks) checkAddress(h *held, a netip.Addr, subnet netip.Prefix, gateway netip.Addr) error {
	name := h.network.Name
	switch {
	case !subnet.IsValid():
		return fail("lease", name, Invalid, "%s is not an address on the network %s, which has no IPv6", a, name)
	case !subnet.Contains(a):
		return fail("lease", name, Invalid, "%s is not an address on the network %s, whose subnet is %s", a, name, subnet)
	case a == gateway:
		return fail("lease", name, Taken, "%s is the gateway of the network %s", a, name)
	case a == subnet.Addr() || a.Is4() && a.Next() == end(subnet):
		return fail("lease", name, Invalid, "%s, which ends the subnet %s, is not an address for a container", a, subnet)
	}
	if l, ok := n.addresses[a]; ok {
		return fail("lease", name, Taken, "%s has the address %s of the network %s", n.title(l.Holder), a, name)
	}
	if n.leaving.addresses[a] {
		return fail("lease", name, Taken, "%s of the network %s was given back a moment ago", a, name)
	}
	return nil
}

// freeMAC is the MAC that goes with an address, or any if somebody wanted that for another.
func (h *held) freeMAC(a netip.Addr) string {
	mac := macOf(a)
	for h.macs[mac] {
		b := make([]byte, 5)
		_, _ = rand.Read(b) // it never fails
		mac = net.HardwareAddr(append([]byte{2}, b...)).String()
	}
	return mac
}

// ParseMAC tells why a link cannot have a MAC, and writes it as the kernel does.
func ParseMAC(text string) (string, error) {
	mac, err := net.ParseMAC(text)
	switch {
	case err != nil || len(mac) != 6:
		return "", fail("lease", "", Invalid, "%q is no MAC address: it is written as 02:42:0a:01:02:03", text)
	case mac[0]&1 != 0 || mac.String() == "00:00:00:00:00:00":
		return "", fail("lease", "", Invalid, "%s is no MAC address for one link", mac)
	}
	return mac.String(), nil
}

// checkMAC is ParseMAC for a link on this network.
func (h *held) checkMAC(text string) (string, error) {
	mac, err := ParseMAC(text)
	if err == nil && (h.macs[mac] || mac == bridgeMAC(h.network).String()) {
		err = fail("lease", h.network.Name, Taken, "the MAC address %s is taken on the network %s", mac, h.network.Name)
	}
	return mac, err
}

// checkNames tells why links cannot be called so.
func (n *Networks) checkNames(holder string, e Endpoint) error {
	if err := checkBridge(e.Name); err != nil || e.Name == "lo" || e.Name == "all" || e.Name == "default" {
		return fail("lease", e.Network, Invalid, "an interface cannot be called %q: a name has 1 to 15 letters and digits", e.Name)
	}
	if !isLink(e.Link) {
		return fail("lease", e.Network, Invalid, "%q is no name for the host's end of a link", e.Link)
	}
	for _, other := range n.holders[holder] {
		if other.Name == e.Name {
			return fail("lease", e.Network, Invalid, "%s has an interface %s already", n.title(holder), e.Name)
		}
	}
	return nil
}

// Give makes everything that one holder has another's: a namespace made beforehand becomes a container's.
func (n *Networks) Give(from, to string) {
	if from == to {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, e := range n.holders[from] {
		h := n.networks[name]
		if before, ok := h.holders[to]; ok { // a holder has one place on a network
			n.giveBack(to, before)
		}
		delete(h.holders, from)
		n.note(h, to, e)
	}
	delete(n.holders, from)
	if p := n.published[from]; p != nil {
		delete(n.published, from)
		n.published[to] = p
	}
}

// Release gives back all the places of a holder, or those on the networks named. Links, if any, are taken down, and
// connections forgotten, in the package's own time.
func (n *Networks) Release(holder string, networks ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, e := range n.holders[holder] {
		if len(networks) > 0 && !slices.Contains(networks, name) {
			continue
		}
		n.giveBack(holder, e)
	}
	if len(n.holders[holder]) == 0 {
		delete(n.holders, holder)
	}
}

// giveBack makes a place nobody's. The caller holds mu.
func (n *Networks) giveBack(holder string, e Endpoint) {
	if h := n.networks[e.Network]; h != nil {
		delete(h.holders, holder)
		delete(h.macs, e.MAC)
	}
	delete(n.holders[holder], e.Network)
	delete(n.addresses, e.Addr)
	delete(n.addresses, e.Addr6)
	n.leave(e, true)
}
