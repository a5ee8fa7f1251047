package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
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
		return fail("start", name, Unsupported,
			"this kernel lacks a part of nftables that networks need (nf_tables with inet, bridge, nat, fib and masq); containers with the network host or none work: %w", err)
	}
	return failed("start", name, err, "the rules of the network %s cannot be written", name)
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

// bridge makes a network's bridge, or makes whole what is there of it. The record is written first where it changes.
func (n *Networks) bridge(v *Network) (index, mtu int, err error) {
	link, err := n.ownBridge(v)
	if err != nil {
		return 0, 0, err
	}
	if link == nil {
		if link, err = n.newBridge(v); err != nil {
			return 0, 0, err
		}
	}
	if err := n.addressBridge(link, *v); err != nil {
		return 0, 0, failed("start", v.Name, err, "the bridge %s of the network %s cannot be set up", v.Bridge, v.Name)
	}
	return link.Attrs().Index, link.Attrs().MTU, nil
}

// alias is what a bridge of ours says that it is.
func (n *Networks) alias(v Network) string { return "hull " + n.o.Key + " " + v.ID[:12] }

// ownBridge finds a network's bridge; nil if there is none.
func (n *Networks) ownBridge(v *Network) (netlink.Link, error) {
	if v.Bridge == "" {
		return nil, nil
	}
	link, err := netlink.LinkByName(v.Bridge)
	var none netlink.LinkNotFoundError
	if errors.As(err, &none) {
		return nil, nil
	}
	if err != nil {
		return nil, failed("start", v.Name, err, "the interface %s cannot be looked at", v.Bridge)
	}
	if link.Type() == "bridge" && link.Attrs().Alias == n.alias(*v) {
		return link, nil
	}
	v.Bridge = "" // somebody else's
	return nil, nil
}

// newBridge makes the bridge. What it is to be is on disk before.
func (n *Networks) newBridge(v *Network) (netlink.Link, error) {
	old := *v
	bits := otherBits
	if v.Name == Default {
		bits = defaultBits
	}
	// The host may route by now what was free when the network was made.
	if err := n.settle(v, bits); err != nil {
		return nil, err
	}
	if *v != old || v.Name == Default {
		if err := n.save(*v); err != nil {
			return nil, failed("start", v.Name, err, "the record of the network %s cannot be written", v.Name)
		}
		n.crash(PointRecorded)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.MTU = v.Bridge, bridgeMAC(*v), hostMTU()
	snoop := false
	err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snoop})
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil, fail("start", v.Name, Unsupported, "this kernel has no bridges (the module bridge); containers with the network host or none work: %w", err)
	}
	if err != nil {
		return nil, failed("start", v.Name, err, "the bridge %s of the network %s cannot be made", v.Bridge, v.Name)
	}
	link, err := netlink.LinkByName(v.Bridge)
	if err == nil {
		err = netlink.LinkSetAlias(link, n.alias(*v))
	}
	if err != nil {
		return nil, failed("start", v.Name, err, "the bridge %s of the network %s cannot be set up", v.Bridge, v.Name)
	}
	return link, nil
}

// addressBridge gives a bridge its addresses and its settings, and has it up.
func (n *Networks) addressBridge(link netlink.Link, v Network) error {
	for _, s := range []struct{ name, value string }{
		{"ipv4/conf/%s/route_localnet", "1"}, // else what is published on 127.0.0.1 could not be led out
		{"ipv4/conf/%s/forwarding", "1"},
		{"ipv6/conf/%s/accept_ra", "0"},
		{"ipv6/conf/%s/accept_redirects", "0"},
	} {
		if err := setting(fmt.Sprintf(s.name, v.Bridge), s.value); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	for _, p := range []netip.Prefix{netip.PrefixFrom(v.Gateway, v.Subnet.Bits()), netip.PrefixFrom(v.Gateway6, v.Subnet6.Bits())} {
		if !p.IsValid() {
			continue
		}
		if err := netlink.AddrReplace(link, &netlink.Addr{IPNet: ipNet(p), Flags: unix.IFA_F_NODAD}); err != nil {
			if p.Addr().Is6() && !n.v6 { // it was switched off since
				continue
			}
			return fmt.Errorf("it cannot have the address %s: %w", p.Addr(), err)
		}
	}
	return netlink.LinkSetUp(link)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// setting writes one of the kernel's settings of networks, below /proc/sys/net.
func setting(name, value string) error {
	path := filepath.Join("/proc/sys/net", name)
	if have, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(have)) == value {
		return nil
	}
	return os.WriteFile(path, []byte(value), 0)
}

// hasIPv6 tells whether the host has IPv6 at all.
func hasIPv6() bool {
	off, err := os.ReadFile("/proc/sys/net/ipv6/conf/all/disable_ipv6")
	return err == nil && strings.TrimSpace(string(off)) == "0"
}

// hostMTU is how long packets may be on the way out: the least of the interfaces with a default route.
func hostMTU() int {
	const usual = 1500
	least := usual
	routes, err := netlink.RouteList(nil, unix.AF_INET)
	if err != nil {
		return usual
	}
	for _, r := range routes {
		if r.Dst != nil {
			if ones, _ := r.Dst.Mask.Size(); ones > 0 {
				continue
			}
		}
		if link, err := netlink.LinkByIndex(r.LinkIndex); err == nil && link.Attrs().MTU >= 576 {
			least = min(least, link.Attrs().MTU)
		}
	}
	return least
}

// bridgeName is hull0 for the default network, if no other hull has that.
func bridgeName(v *Network) string {
	if v.Name == Default {
		if _, err := netlink.LinkByName("hull0"); err != nil {
			return "hull0"
		}
	}
	return "hull-" + v.ID[:10]
}

// bridgeMAC is a bridge's, which would change with its ports else.
func bridgeMAC(v Network) net.HardwareAddr {
	mac, _ := net.ParseMAC(macOf(v.Gateway))
	return mac
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
	ports, err := portsOf(link.Attrs().Index)
	for _, l := range ports {
		err = errors.Join(err, gone(netlink.LinkDel(l)))
	}
	err = errors.Join(err, gone(netlink.LinkDel(link)))
	return errors.Join(err, n.tables.write(n.ctx, &change{drop: networkElements(v)}))
}

// portsOf are our links at a bridge.
func portsOf(bridge int) ([]netlink.Link, error) {
	all, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	var ports []netlink.Link
	for _, l := range all {
		if l.Attrs().MasterIndex == bridge && l.Type() == "veth" && ours(l) {
			ports = append(ports, l)
		}
	}
	return ports, nil
}

// ours tells whether a link is called as ours are.
func ours(l netlink.Link) bool {
	_, ok := linkOf(l.Attrs().Name)
	return ok
}

// gone takes what is gone already for done.
func gone(err error) error {
	var none netlink.LinkNotFoundError
	if errors.Is(err, unix.ENODEV) || errors.As(err, &none) {
		return nil
	}
	return err
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
