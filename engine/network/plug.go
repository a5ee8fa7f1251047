package network

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Plug makes the links from a namespace to its places, with addresses, routes, and everything up, lo too. The first
// endpoint has the default route. Links go with the namespace.
func (n *Networks) Plug(ctx context.Context, netns *os.File, endpoints []Endpoint) error {
	ups := make([]upNetwork, len(endpoints))
	var elements []element
	for i, e := range endpoints {
		h, err := n.ensure(ctx, e.Network)
		if err != nil {
			return err
		}
		if ups[i], err = n.upNetwork(h, e); err != nil {
			return err
		}
		elements = append(elements, ups[i].elements()...)
	}
	// What a port may send stands before there is one.
	if len(elements) > 0 {
		if err := n.tables.write(ctx, &change{add: elements}); err != nil {
			return n.noRules(endpoints[0].Network, err)
		}
	}
	inside, err := dialLinks(netns)
	if err != nil {
		return failed("plug", "", err, "the network namespace cannot be entered")
	}
	defer inside.close()
	host, err := dialLinks(nil)
	if err != nil {
		return failed("plug", "", err, "the host's interfaces cannot be reached")
	}
	defer host.close()
	for _, u := range ups {
		if err := u.link(host, netns); err != nil {
			return err
		}
	}
	n.crash(PointLinked)
	messages := []netlink.Message{setUp(1)} // lo, which is the first in every namespace
	for i, u := range ups {
		more, err := u.inside(inside, i == 0)
		if err != nil {
			return failed("plug", u.Endpoint.Network, err, "the interface %s cannot be set up", u.Endpoint.Name)
		}
		messages = append(messages, more...)
	}
	if err := inside.do(messages...); err != nil {
		return failed("plug", "", err, "the interfaces in the network namespace cannot be set up")
	}
	return nil
}

// upNetwork is a place on a network that is up.
type upNetwork struct {
	Endpoint
	mac     net.HardwareAddr
	network Network
	bridge  uint32
	mtu     int
	v6      bool
}

func (n *Networks) upNetwork(h *held, e Endpoint) (upNetwork, error) {
	mac, err := net.ParseMAC(e.MAC)
	if err != nil || len(mac) != 6 || !isLink(e.Link) || !e.Addr.Is4() {
		return upNetwork{}, fail("plug", e.Network, Invalid, "what a record says of the network %s is no endpoint: %+v", e.Network, e)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return upNetwork{e, mac, h.network, uint32(h.index), h.mtu, n.v6}, nil
}

// elements are what the bridge lets through from a place.
func (u upNetwork) elements() []element {
	name := bytes16(u.Link)
	list := []element{
		{setLinks, key(name), ""},
		{setMACs, key(name, u.mac), ""},
		{setAddrs4, key(name, u.Addr.AsSlice()), ""},
		{setAddrs6, key(name, local6(u.mac).AsSlice()), ""},
	}
	if u.Addr6.IsValid() {
		list = append(list, element{setAddrs6, key(name, u.Addr6.AsSlice()), ""})
	}
	return list
}

// link makes the pair of links.
func (u upNetwork) link(host *kernelConn, netns *os.File) error {
	name := u.Endpoint.Network
	pair := func() error { return host.do(newPair(u.Endpoint, u.mac, u.bridge, u.mtu, netns)) }
	err := pair()
	if errors.Is(err, unix.EEXIST) {
		// The one of a run before, whose namespace the kernel has not cleared away yet.
		if err = host.do(delLink(u.Link)); err == nil || errors.Is(err, unix.ENODEV) {
			err = pair()
		}
	}
	switch {
	case errors.Is(err, unix.EXFULL):
		return fail("plug", name, Full, "the network %s has 1,023 links, the most that a bridge takes; stop containers, or put some on another network", name)
	case errors.Is(err, unix.EOPNOTSUPP):
		return fail("plug", name, Unsupported, "this kernel has no pairs of links (the module veth); containers with the network host or none work: %w", err)
	case err != nil:
		return failed("plug", name, err, "the link %s to the network %s cannot be made", u.Link, name)
	}
	index, err := host.index(u.Link)
	if err == nil {
		err = host.do(setPort(index, u.v6), knowMAC(index, u.mac))
	}
	if err != nil {
		return failed("plug", name, err, "the link %s to the network %s cannot be set up", u.Link, name)
	}
	return nil
}

// inside are the messages that set up the end in the namespace.
func (u upNetwork) inside(k *kernelConn, first bool) ([]netlink.Message, error) {
	index, err := k.index(u.Name)
	if err != nil {
		return nil, err
	}
	v6 := u.v6 && u.Addr6.IsValid()
	var list []netlink.Message
	if u.v6 {
		list = append(list, setUp(index, noAddresses()), addAddress(index, netip.PrefixFrom(local6(u.mac), 64)))
	} else {
		list = append(list, setUp(index))
	}
	list = append(list, addAddress(index, netip.PrefixFrom(u.Addr, u.network.Subnet.Bits())))
	if v6 {
		list = append(list, addAddress(index, netip.PrefixFrom(u.Addr6, u.network.Subnet6.Bits())))
	}
	if first {
		list = append(list, addDefault(index, u.network.Gateway))
		if v6 {
			list = append(list, addDefault(index, u.network.Gateway6))
		}
	}
	return list, nil
}

// Unplug takes links down that may be gone already, and forgets the connections over them. The places stay the holder's.
func (n *Networks) Unplug(ctx context.Context, endpoints []Endpoint) error {
	host, err := dialLinks(nil)
	if err != nil {
		return failed("unplug", "", err, "the host's interfaces cannot be reached")
	}
	defer host.close()
	var errs []error
	for _, e := range endpoints {
		if !isLink(e.Link) {
			continue
		}
		if err := host.do(delLink(e.Link)); err != nil && !errors.Is(err, unix.ENODEV) {
			errs = append(errs, failed("unplug", e.Network, err, "the link %s cannot be taken down", e.Link))
		}
		n.forget(e)
	}
	return errors.Join(errs...)
}
