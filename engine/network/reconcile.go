package network

import (
	"context"
	"errors"
	"maps"
	"slices"
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
	// Everything is written as one transaction: what runs goes on between the old rules and the new.
	var elements []element
	for _, name := range slices.Sorted(maps.Keys(running)) {
		added, err := n.adopt(n.networks[name], running[name])
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
	err := n.tables.write(ctx, &change{whole: true, add: elements})
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

// adopt takes over a bridge and what is plugged there from the daemon before, and answers what the rules have of it.
func (n *Networks) adopt(h *held, places []Endpoint) ([]element, error) {
	v := h.network
	index, mtu, err := n.bridge(&v)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	moved := h.index != index
	h.network, h.index, h.mtu, h.up = v, index, mtu, true
	n.mu.Unlock()
	elements := networkElements(v)
	host, err := dialLinks(nil)
	if err != nil {
		return elements, err
	}
	defer host.close()
	for _, e := range places {
		u, err := n.upNetwork(h, e)
		if err != nil {
			return elements, err
		}
		for _, name := range n.found(host, e) {
			elements = append(elements, u.elements(name)...)
		}
	}
	if moved { // whoever removed the bridge while no daemon was there left the links without one
		err = n.join(index, places)
	}
	return elements, err
}

// found answers what the links of a place are called that a daemon before has plugged.
func (n *Networks) found(host *kernelConn, e Endpoint) []string {
	var names []string
	for _, name := range linkNames(e.Link) {
		if _, err := host.index(name); err == nil {
			names = append(names, name)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.plugged[e.Link] = names
	return names
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
