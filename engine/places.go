package engine

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"

	"hull/engine/network"
)

// A container's places on networks, and its ports, from the start of a run to its end. What it has of a network it keeps
// over all its runs: the record has it. What a run has is in its note, from before the monitor hears of the run, so that the
// next daemon can say it again to the networks.

// links is what containers need of the networks; *network.Networks is the real one.
type links interface {
	Reconcile(ctx context.Context, live map[string]network.Live) error
	Find(name string) (*network.Network, bool)
	Lease(ctx context.Context, holder string, want network.Endpoint) (network.Endpoint, error)
	Give(from, to string)
	Release(holder string, networks ...string)
	Plug(ctx context.Context, netns *os.File, endpoints []network.Endpoint) error
	Unplug(ctx context.Context, endpoints []network.Endpoint) error
	Publish(ctx context.Context, holder string, to network.Endpoint, ports []network.Port) ([]network.Bound, error)
	Unpublish(ctx context.Context, holder string) error
	Clear(ctx context.Context) error
	Close() error
}

// linkName is what a container's n-th interface is called in it.
func linkName(n int) string { return "eth" + strconv.Itoa(n) }

// takePlaces takes the container's places on its networks: those it has already, or that of a process made beforehand, or
// any.
func (l *launching) takePlaces() error {
	s := l.s
	if l.network.Mode != bridged {
		s.release(s.strayPlaces(l.network))
		return nil
	}
	if w := l.warm; w != nil && len(w.places) > 0 {
		s.e.links.Give(w.name, s.id)
		l.note.Endpoints = w.places
		l.onFailure(func() { s.e.links.Release(s.id) }) // it had none before
	} else if err := l.leaseAll(); err != nil {
		return err
	}
	s.e.crash(startLeased)
	l.spec.Plug = l.plug
	return nil
}

// leaseAll takes the places one by one.
func (l *launching) leaseAll() error {
	s := l.s
	s.release(s.strayPlaces(l.network))
	var fresh []string
	l.onFailure(func() {
		s.release(fresh)
		s.unplug(without(l.note.Endpoints, fresh))
	})
	for i, a := range l.network.Attach {
		want := network.Endpoint{Network: a.Network, Name: linkName(i), MAC: a.MAC, Addr: a.Addr, Addr6: a.Addr6}
		before, had := s.placeOn(a.Network)
		if had {
			want = joining(before, want)
			if want != before { // it is to have another address, or is another of its links
				s.e.links.Release(s.id, a.Network)
			}
		}
		var got network.Endpoint
		if err := s.e.pool.giving(func() (err error) {
			got, err = s.e.links.Lease(s.e.ctx, s.id, want)
			return err
		}); err != nil {
			if had && want != before {
				_, _ = s.e.links.Lease(s.e.ctx, s.id, before) // as far as it is free
			}
			return s.mark("start", err)
		}
		if !had {
			fresh = append(fresh, a.Network)
		}
		l.note.Endpoints = append(l.note.Endpoints, got)
	}
	return nil
}

// joining is a place that is wanted, with all of an earlier one that is not at odds with it.
func joining(before, want network.Endpoint) network.Endpoint {
	same := before
	same.Name = want.Name
	if want.Addr.IsValid() && want.Addr != before.Addr {
		same.Addr, same.MAC = want.Addr, ""
	}
	if want.Addr6.IsValid() && want.Addr6 != before.Addr6 {
		same.Addr6 = want.Addr6
	}
	if want.MAC != "" {
		same.MAC = want.MAC
	}
	return same
}

// placeOn is the place that the container keeps on a network.
func (s *supervisor) placeOn(name string) (network.Endpoint, bool) {
	for _, p := range s.rec.Endpoints {
		if p.Network == name {
			return p, true
		}
	}
	return network.Endpoint{}, false
}

// strayPlaces are the networks on which the container keeps a place, and which its settings do not name.
func (s *supervisor) strayPlaces(n networking) []string {
	var stray []string
	for _, p := range s.rec.Endpoints {
		if !n.names(p.Network) {
			stray = append(stray, p.Network)
		}
	}
	return stray
}

// release gives back the places on these networks.
func (s *supervisor) release(networks []string) {
	if len(networks) > 0 { // without any it would be all
		s.e.links.Release(s.id, networks...)
	}
}

// without are the places that are not on these networks.
func without(places []network.Endpoint, networks []string) []network.Endpoint {
	if len(networks) == 0 {
		return places
	}
	return slices.DeleteFunc(slices.Clone(places), func(p network.Endpoint) bool { return slices.Contains(networks, p.Network) })
}

// plug brings the links into the process's network.
func (l *launching) plug(ctx context.Context, netns *os.File) error {
	s := l.s
	again := l.again // the links of the process in whose place this one comes may be there still
	err := s.e.pool.giving(func() error {
		if again {
			if err := s.e.links.Unplug(ctx, l.note.Endpoints); err != nil {
				return err
			}
		}
		again = true
		return s.e.links.Plug(ctx, netns, l.note.Endpoints)
	})
	if err != nil {
		return s.mark("start", err)
	}
	s.e.crash(startPlugged)
	return nil
}

// leaveNetworks gives back what a run had of networks. The places stay the container's as long as it lives.
func (s *supervisor) leaveNetworks() {
	s.e.names.Drop(s.id)
	places := s.st.Run.Endpoints
	if len(places) == 0 {
		return
	}
	if len(s.st.Run.Ports) > 0 {
		s.unpublish() // before another can have the address
	}
	if s.gone {
		s.e.links.Release(s.id)
	} else {
		s.unplug(places)
	}
	s.e.crash(exitUnplugged)
}

// unplug has links gone that go with their process, or would in a moment.
func (s *supervisor) unplug(places []network.Endpoint) {
	if len(places) == 0 {
		return
	}
	if err := s.e.links.Unplug(s.e.ctx, places); err != nil && s.e.ctx.Err() == nil {
		s.e.o.Logger.Warn("links of a container are left", "container", s.id, "op", "unplug", "err", err)
	}
}

// sayPlaces tells that the container has come to its networks, or left them.
func (s *supervisor) sayPlaces(action Action) {
	for _, p := range s.st.Run.Endpoints {
		s.e.sayNetwork(s.why, action, p.Network, s.rec.Owner.UID, s.id)
	}
}

// places are those of the run under way, or else those that the container keeps.
func (s *supervisor) places() []network.Endpoint {
	if s.st.State.Alive() {
		return s.st.Run.Endpoints
	}
	return s.rec.Endpoints
}

// reconcileNetworks says again to the networks what the last daemon had said, and clears away the rest.
func (e *Engine) reconcileNetworks(ctx context.Context, all []*supervisor) {
	live := map[string]network.Live{}
	for _, s := range all {
		if s.gone {
			continue
		}
		l := network.Live{Endpoints: s.places(), Running: s.run != nil}
		if l.Running {
			l.Ports = s.st.Run.Ports
		}
		if len(l.Endpoints) > 0 {
			live[s.id] = l
		}
	}
	// Names are answered as soon as the networks are up: a question that came first would be a stranger's, and refused.
	for _, s := range all {
		if s.run != nil && !s.gone {
			s.tellNames()
		}
	}
	if err := e.links.Reconcile(ctx, live); err != nil {
		e.o.Logger.Warn("networks are not all as they were", "op", "open", "err", err)
	}
}

// closeNetworks leaves the networks to the containers that run, or takes them down if there are none.
func (e *Engine) closeNetworks(live bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), endNetworks)
	defer cancel()
	e.names.Close()
	var err error
	if !live {
		err = e.links.Clear(ctx)
	}
	if err = errors.Join(err, e.links.Close()); err != nil {
		e.o.Logger.Warn("networks are left behind", "op", "close", "err", err)
	}
}
