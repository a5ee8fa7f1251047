package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/vishvananda/netlink"
)

// Reconcile is called once, before any lease: it takes again the addresses and the ports of every holder there is, and
// clears away what is left in the kernel of those that are no more. The error tells what could not be taken again; the
// rest is.
func (n *Networks) Reconcile(ctx context.Context, live map[string]Live) error {
	if err := n.lock(ctx); err != nil {
		return err
	}
	errs := n.reconcile(ctx, live)
	n.unlock()
	n.changed()
	return errors.Join(errs...)
}

func (n *Networks) reconcile(ctx context.Context, live map[string]Live) (errs []error) {
	keep := map[string]bool{} // the links of what runs
	running := map[string][]Endpoint{}
	for _, holder := range slices.Sorted(maps.Keys(live)) {
		for _, e := range live[holder].Endpoints {
			n.mu.Lock()
			got, err := n.take(holder, e)
			n.mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				continue
			}
			if live[holder].Running {
				keep[got.Link] = true
				running[got.Network] = append(running[got.Network], got)
			}
		}
	}
	there, err := linksOfPlaces()
	if err != nil { // the rules stay as they are
		return append(errs, err)
	}
	// Everything is written as one transaction: what runs goes on between the old rules and the new.
	var elements []element
	for _, name := range slices.Sorted(maps.Keys(running)) {
		added, err := n.adopt(n.networks[name], running[name], there)
		elements = append(elements, added...)
		errs = append(errs, err)
	}
	for _, holder := range slices.Sorted(maps.Keys(live)) {
		if l := live[holder]; l.Running && len(l.Endpoints) > 0 && len(l.Ports) > 0 {
			added, err := n.republish(holder, l)
			elements = append(elements, added...)
			errs = append(errs, err)
		}
	}
	err = n.tables.write(ctx, &change{whole: true, add: elements})
	switch {
	case err != nil && len(running) > 0:
		errs = append(errs, n.noRules("", err))
	case err != nil:
		n.o.Logger.Debug("there are no rules to be had in this kernel, and none needed yet", "op", "open", "err", err)
	}
	if len(running) > 0 {
		for name := range running {
			errs = append(errs, n.forward(n.networks[name].network))
		}
		if n.watch, err = n.newWatch(); err != nil {
			errs = append(errs, err)
		}
	} else if err := n.stopForwarding(); err != nil {
		n.o.Logger.Debug("whether the host forwards cannot be found out", "op", "open", "err", err)
	}
	return append(errs, n.sweepLinks(keep))
}

// adopt takes over a bridge and what is plugged there from the daemon before, and answers what the rules have of it. there
// are the links by their places.
func (n *Networks) adopt(h *held, places []Endpoint, there map[string][]*netlink.LinkAttrs) ([]element, error) {
	v := h.network
	index, mtu, err := n.bridge(&v)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	h.network, h.index, h.mtu, h.up = v, index, mtu, true
	n.mu.Unlock()
	elements := networkElements(v)
	var lost []Endpoint // whoever removed the bridge while no daemon was there left its links without one
	for _, e := range places {
		u, err := n.upNetwork(h, e)
		if err != nil {
			return elements, err
		}
		var names []string
		for _, l := range there[e.Link] {
			names = append(names, l.Name)
			elements = append(elements, u.elements(l.Name)...)
			if l.MasterIndex != index {
				lost = append(lost, e)
			}
		}
		n.mu.Lock()
		n.plugged[e.Link] = names
		n.mu.Unlock()
	}
	return elements, n.join(index, lost)
}

// linksOfPlaces are the links in the kernel, by Endpoint.Link. To ask for each by its name would take seconds with a
// thousand containers.
func linksOfPlaces() (map[string][]*netlink.LinkAttrs, error) {
	all, err := allLinks()
	if err != nil {
		return nil, fmt.Errorf("the host's interfaces cannot be listed: %w", err)
	}
	there := map[string][]*netlink.LinkAttrs{}
	for _, l := range all {
		if place, is := linkOf(l.Attrs().Name); is {
			there[place] = append(there[place], l.Attrs())
		}
	}
	return there, nil
}

// republish takes the ports of a holder again. Rules for one that somebody has taken meanwhile stand nevertheless, as they
// did all the time.
func (n *Networks) republish(holder string, l Live) ([]element, error) {
	to := l.Endpoints[0]
	var errs []error
	p := &publication{to: to}
	for _, b := range l.Ports {
		wanted, err := checkPort(Port{HostIP: b.HostIP, HostPort: b.HostPort, Port: b.Port, Proto: b.Proto})
		if err != nil || b.HostPort == 0 {
			errs = append(errs, err)
			continue
		}
		h, err := n.hold(wanted, to)
		if err != nil {
			errs = append(errs, err)
			h = &hold{bound: b}
		}
		p.holds = append(p.holds, h)
	}
	n.mu.Lock()
	n.published[holder] = p
	n.mu.Unlock()
	return p.elements(), errors.Join(errs...)
}
