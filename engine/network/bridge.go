package network

import (
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
	if _, ok := errors.AsType[netlink.LinkNotFoundError](err); ok {
		return nil, nil
	}
	if err != nil {
		return nil, failed("start", v.Name, err, "the interface %s cannot be looked at", v.Bridge)
	}
	if n.isBridgeOf(link, *v) {
		return link, nil
	}
	v.Bridge = "" // somebody else's
	return nil, nil
}

// isBridgeOf tells whether a link is a network's bridge. One that a crash left has no alias yet, but its MAC.
func (n *Networks) isBridgeOf(link netlink.Link, v Network) bool {
	a := link.Attrs()
	return link.Type() == "bridge" && (a.Alias == n.alias(v) ||
		a.Alias == "" && a.Name == v.Bridge && v.Gateway.IsValid() && a.HardwareAddr.String() == bridgeMAC(v).String())
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
	if errors.Is(err, unix.EEXIST) { // another hull, or somebody, was faster
		attrs.Name, v.Bridge = ownName(v), ownName(v)
		if err = n.save(*v); err == nil {
			err = netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snoop})
		}
	}
	if err != nil {
		return nil, lacking(partBridges, v.Name, err, "the bridge %s of the network %s cannot be made", v.Bridge, v.Name)
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
			if p.Addr().Is6() && !hasIPv6() { // it was switched off since
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
	routes, err := whole(func() ([]netlink.Route, error) { return netlink.RouteList(nil, unix.AF_INET) })
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
	return ownName(v)
}

// ownName is a name that no other network's bridge has.
func ownName(v *Network) string { return "hull-" + v.ID[:10] }

// bridgeMAC is a bridge's, which would change with its ports else.
func bridgeMAC(v Network) net.HardwareAddr {
	mac, _ := net.ParseMAC(macOf(v.Gateway))
	return mac
}

// whole asks the kernel again for a list that changed while it was being told: what is in it may be there twice, or not at all.
func whole[T any](ask func() ([]T, error)) (list []T, err error) {
	for range 100 {
		if list, err = ask(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return list, err
		}
	}
	return list, nil // where so much comes and goes, nearly all is as good
}

func allLinks() ([]netlink.Link, error) { return whole(netlink.LinkList) }

// portsOf are our links at a bridge.
func portsOf(bridge int) ([]netlink.Link, error) {
	all, err := allLinks()
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

// removeLinks takes links away that may be gone already.
func removeLinks(links []netlink.Link) error {
	host, err := dialLinks(nil)
	if err != nil {
		return err
	}
	defer host.close()
	indexes := make([]uint32, len(links))
	for i, l := range links {
		indexes[i] = uint32(l.Attrs().Index)
	}
	return host.remove(indexes...)
}
