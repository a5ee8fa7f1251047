package network

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
)

// restore makes whole again what is to be in the kernel and is not; with rules, the rules too.
func (n *Networks) restore(rules bool) error {
	if err := n.lock(n.ctx); err != nil {
		return nil // the daemon ends
	}
	defer n.unlock()
	n.mu.Lock()
	var up []*held
	for _, h := range n.networks {
		if h.up {
			up = append(up, h)
		}
	}
	n.mu.Unlock()
	if len(up) == 0 {
		return nil
	}
	var errs []error
	for _, h := range up {
		errs = append(errs, n.restoreBridge(h))
	}
	if rules {
		n.o.Logger.Warn("somebody removed rules of the networks; they are written anew", "op", "watch")
		errs = append(errs, n.tables.write(n.ctx, &change{whole: true}), n.restoreRouter())
	}
	return errors.Join(errs...)
}

// restoreBridge makes a network's bridge again if it is gone, and the links its ports. Containers do not notice but for what
// was under way meanwhile.
func (n *Networks) restoreBridge(h *held) error {
	n.mu.Lock()
	v, index := h.network, h.index
	n.mu.Unlock()
	now, mtu, err := n.bridge(&v)
	if err != nil || now == index {
		return err
	}
	n.o.Logger.Warn("somebody removed a bridge; it is made again", "network", v.Name, "op", "watch")
	n.mu.Lock()
	old := h.network
	h.network, h.index, h.mtu = v, now, mtu
	var places []Endpoint
	for _, e := range h.holders {
		places = append(places, e)
	}
	n.mu.Unlock()
	c := &change{add: networkElements(v)}
	if old.Bridge != v.Bridge { // somebody else has its name by now
		c.drop = networkElements(old)
	}
	return errors.Join(n.tables.write(n.ctx, c), n.join(now, places))
}

// join makes the links of places ports of a bridge, as far as they are there.
func (n *Networks) join(bridge int, places []Endpoint) error {
	if len(places) == 0 {
		return nil
	}
	host, err := dialLinks(nil)
	if err != nil {
		return err
	}
	defer host.close()
	var errs []error
	for _, e := range places {
		mac, err := net.ParseMAC(e.MAC)
		if err != nil {
			continue
		}
		n.mu.Lock()
		names := slices.Clone(n.plugged[e.Link])
		n.mu.Unlock()
		for _, name := range names {
			index, err := host.index(name)
			if err != nil {
				continue // nothing runs there any more
			}
			// All at once: whoever is killed here leaves no port that is not what it is to be.
			if err := host.do(setMaster(index, uint32(bridge)), setPort(index, n.v6), knowMAC(index, mac)); err != nil {
				errs = append(errs, fmt.Errorf("the link %s cannot come back to its bridge: %w", name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// sweepLinks takes down the bridges of this hull that no network has up, and the links to those that are up which nobody has.
func (n *Networks) sweepLinks(keep map[string]bool) error {
	links, err := allLinks()
	if err != nil {
		return fmt.Errorf("the host's interfaces cannot be listed: %w", err)
	}
	n.mu.Lock()
	up := map[int]bool{}
	var known []Network
	for _, h := range n.networks {
		known = append(known, h.network)
		if h.up {
			up[h.index] = true
		}
	}
	n.mu.Unlock()
	bridges := map[int]bool{}
	var stale []netlink.Link
	for _, l := range links {
		is := func(v Network) bool { return n.isBridgeOf(l, v) }
		if l.Type() == "bridge" && (strings.HasPrefix(l.Attrs().Alias, "hull "+n.o.Key+" ") || slices.ContainsFunc(known, is)) {
			bridges[l.Attrs().Index] = true
			if !up[l.Attrs().Index] {
				stale = append(stale, l)
			}
		}
	}
	for _, l := range links {
		link, is := linkOf(l.Attrs().Name)
		if master := l.Attrs().MasterIndex; l.Type() == "veth" && is && bridges[master] && (!up[master] || !keep[link]) {
			stale = append(stale, l)
		}
	}
	return removeLinks(stale)
}
