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
	host, err := dialLinks(nil)
	if err != nil {
		return failed("plug", "", err, "the host's interfaces cannot be reached")
	}
	defer host.close()
	inside, err := dialLinks(netns)
	if err != nil {
		return failed("plug", "", err, "the network namespace cannot be entered")
	}
	defer inside.close()
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
		if ups[i].name, err = n.nameLink(ctx, host, e); err != nil {
			return err
		}
		elements = append(elements, ups[i].elements(ups[i].name)...)
	}
	// What a port may send stands before there is one.
	if len(elements) > 0 {
		if err := n.tables.write(ctx, &change{add: elements}); err != nil {
			return n.noRules(endpoints[0].Network, err)
		}
	}
	var ports []netlink.Message
	for _, u := range ups {
		index, err := n.linked(ctx, host, netns, u)
		if err != nil {
			return err
		}
		ports = append(ports, settle(index), settle(u.bridge))
	}
	n.crash(PointLinked)
	messages := []netlink.Message{setUp(1)} // lo, which is the first in every namespace
	for i, u := range ups {
		more, err := u.inside(inside, i == 0)
		if err != nil {
			return failed("plug", u.Network, err, "the interface %s cannot be set up", u.Endpoint.Name)
		}
		messages = append(messages, more...)
	}
	if err := inside.do(messages...); err != nil {
		return failed("plug", "", err, "the interfaces in the network namespace cannot be set up")
	}
	if len(ports) == 0 {
		return nil
	}
	if err := host.do(ports...); err != nil {
		return failed("plug", endpoints[0].Network, err, "the links to the network %s are gone already", endpoints[0].Network)
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
	name    string // the link's
}

func (n *Networks) upNetwork(h *held, e Endpoint) (upNetwork, error) {
	mac, err := net.ParseMAC(e.MAC)
	if err != nil || len(mac) != 6 || !isLink(e.Link) || !e.Addr.Is4() {
		return upNetwork{}, fail("plug", e.Network, Invalid, "what a record says of the network %s is no endpoint: %+v", e.Network, e)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return upNetwork{Endpoint: e, mac: mac, network: h.network, bridge: uint32(h.index), mtu: h.mtu, v6: n.v6}, nil
}

// nameLink finds a name for a link to a place. It waits for what is being cleared away: until the connections of the place's
// earlier runs are forgotten, so that those of this one are not, and until the kernel has a name left.
func (n *Networks) nameLink(ctx context.Context, host *kernelConn, e Endpoint) (string, error) {
	for {
		names, again := n.freeNames(e)
		for _, name := range names {
			if _, err := host.index(name); errors.Is(err, unix.ENODEV) {
				n.mu.Lock()
				n.plugged[e.Link] = append(n.plugged[e.Link], name)
				n.mu.Unlock()
				return name, nil
			}
		}
		if again == nil {
			return "", fail("plug", e.Network, Full, "the kernel has not cleared away yet what earlier runs had of the network %s; try again", e.Network)
		}
		if err := n.leaving.await(ctx, again); err != nil {
			return "", failed("plug", e.Network, err, "the wait for what earlier runs had of the network %s was interrupted", e.Network)
		}
	}
}

// linked makes the link to a place. Where the bridge takes no more, it waits for links of earlier runs to be cleared away.
func (n *Networks) linked(ctx context.Context, host *kernelConn, netns *os.File, u upNetwork) (index uint32, err error) {
	for {
		n.mu.Lock()
		again := n.leaving.next()
		n.mu.Unlock()
		index, err = u.link(host, netns)
		if KindOf(err) != Full || again == nil {
			return index, err
		}
		if err := n.leaving.await(ctx, again); err != nil {
			return 0, failed("plug", u.Network, err, "the wait for what earlier runs had of the network %s was interrupted", u.Network)
		}
	}
}

// freeNames are the names that a link can have as far as this hull knows, none while connections are still to be forgotten, and
// what to wait for if the kernel has links of all of them; nil if that is nothing of ours.
func (n *Networks) freeNames(e Endpoint) (names []string, again chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	again = n.leaving.next()
	if n.leaving.remembers(e.Addr) || n.leaving.remembers(e.Addr6) {
		return nil, again
	}
	for _, name := range linkNames(e.Link) {
		if _, pending := n.leaving.links[name]; !pending {
			names = append(names, name)
		}
	}
	return names, again
}

// elements are what the bridge lets through from a place by a link.
func (u upNetwork) elements(link string) []element {
	name := bytes16(link)
	list := []element{
		{setLinks, key(name), ""},
		{setAddrs4, key(name, u.mac, u.Addr.AsSlice()), ""},
		{setAddrs6, key(name, u.mac, local6(u.mac).AsSlice()), ""},
	}
	if u.Addr6.IsValid() {
		list = append(list, element{setAddrs6, key(name, u.mac, u.Addr6.AsSlice()), ""})
	}
	return list
}

// link makes the pair of links, and answers the number of the host's end.
func (u upNetwork) link(host *kernelConn, netns *os.File) (index uint32, err error) {
	name := u.Network
	err = host.do(newPair(u.name, u.Endpoint.Name, u.mac, u.bridge, u.mtu, netns))
	switch {
	case errors.Is(err, unix.EXFULL):
		return 0, fail("plug", name, Full, "the network %s has 1,023 links, the most that a bridge takes; stop containers, or put some on another network", name)
	case err != nil:
		return 0, lacking(partPairs, name, err, "the link %s to the network %s cannot be made", u.name, name)
	}
	index, err = host.index(u.name)
	if err == nil {
		err = portOnly(u.name)
	}
	if err == nil {
		err = host.do(setPort(index, u.v6), knowMAC(index, u.mac))
	}
	if err != nil {
		return 0, failed("plug", name, err, "the link %s to the network %s cannot be set up", u.name, name)
	}
	return index, nil
}

// portOnly keeps IPv6 away from a port of a bridge, which has no use for it: each interface that has it lengthens the lists that
// the kernel goes through whenever one comes, goes, or looks for a way.
func portOnly(link string) error {
	err := setting("ipv6/conf/"+link+"/disable_ipv6", "1")
	if errors.Is(err, os.ErrNotExist) { // the kernel has no IPv6
		return nil
	}
	return err
}

// inside are the messages that set up the end in the namespace.
func (u upNetwork) inside(k *kernelConn, first bool) ([]netlink.Message, error) {
	index, err := k.index(u.Endpoint.Name)
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
	return append(list, settle(index)), nil
}

// Unplug has links gone, which go with their namespace, and the connections over them forgotten, in the package's own time:
// the same places can be plugged again at once. The places stay the holder's.
func (n *Networks) Unplug(_ context.Context, endpoints []Endpoint) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range endpoints {
		n.leave(e, false)
	}
	return nil
}
