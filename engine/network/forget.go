package network

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// leaving are places whose connections are to be forgotten, and whose links are to be gone. All is guarded by Networks.mu.
type leaving struct {
	addresses map[netip.Addr]bool      // given back, and not to be given again before
	links     map[string]parting       // by name: to be taken down, with what the bridge knows of them
	forget    map[netip.Addr]time.Time // since when
	forgotten map[netip.Addr]bool      // just now
	done      chan struct{}            // closed when what waits now is done; nil if nothing does
	under     chan struct{}            // closed when what is under way is done; nil if nothing is
	wake      chan struct{}
	hurry     chan struct{}
	ended     bool
}

// parting is a place that was left, and when.
type parting struct {
	Endpoint
	since time.Time
}

// linger is how long what is left of places is left alone. A link goes with its namespace, which the kernel clears away for
// itself and many at a time; to remove one costs far more, and so does it to look through all connections for each.
const linger = time.Second

// keptFor is how long a namespace may be kept by who had it. Places that were left later wait for the next time.
const keptFor = 600 * time.Millisecond

func newLeaving() leaving {
	return leaving{
		addresses: map[netip.Addr]bool{}, links: map[string]parting{}, forget: map[netip.Addr]time.Time{},
		wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
	}
}

// leave has the links of a place gone, and its connections forgotten; with forever, nobody has the place any more. The caller
// holds mu.
func (n *Networks) leave(e Endpoint, forever bool) {
	l, now := &n.leaving, time.Now()
	for _, a := range []netip.Addr{e.Addr, e.Addr6} {
		if !a.IsValid() {
			continue
		}
		l.forget[a] = now
		if forever {
			l.addresses[a] = true
		}
	}
	for _, name := range n.plugged[e.Link] {
		l.links[name] = parting{e, now}
	}
	delete(n.plugged, e.Link)
	l.soon()
}

// soon has done what waits.
func (l *leaving) soon() {
	if l.done == nil {
		l.done = make(chan struct{})
	}
	poke(l.wake)
}

// remembers tells whether the connections of an address are still to be forgotten.
func (l *leaving) remembers(a netip.Addr) bool {
	_, waits := l.forget[a]
	return waits || l.forgotten[a]
}

// next is closed when some of what is left has been cleared away; nil if nothing is left.
func (l *leaving) next() chan struct{} {
	if l.under != nil {
		return l.under
	}
	return l.done
}

// await has what is left cleared away at once, and waits for that: again is what next gave.
func (l *leaving) await(ctx context.Context, again chan struct{}) error {
	poke(l.hurry)
	select {
	case <-again:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// poke wakes whoever waits for a channel, once.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// forget forgets the connections of a place that goes on.
func (n *Networks) forget(e Endpoint) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range []netip.Addr{e.Addr, e.Addr6} {
		if a.IsValid() {
			n.leaving.forget[a] = time.Time{}
		}
	}
	n.leaving.soon()
}

func (n *Networks) endLeaving() {
	n.mu.Lock()
	n.leaving.ended = true
	n.mu.Unlock()
	poke(n.leaving.wake)
	poke(n.leaving.hurry)
}

// forgetting does what waits in leaving, all of it at once if somebody is in a hurry.
func (n *Networks) forgetting() {
	for range n.leaving.wake {
		later := time.NewTimer(linger)
		before := time.Now().Add(linger - keptFor)
		select {
		case <-later.C:
		case <-n.leaving.hurry:
			later.Stop()
			before = time.Now()
		}
		n.mu.Lock()
		links, forget, given, done := n.leaving.begin(before)
		ended := n.leaving.ended
		n.mu.Unlock()
		if len(links) > 0 {
			n.unlink(links)
		}
		if len(forget) > 0 {
			if err := forgetConnections(forget); err != nil {
				n.o.Logger.Warn("connections of containers that are gone cannot be forgotten", "op", "release", "err", err)
			}
		}
		n.mu.Lock()
		l := &n.leaving
		for name := range links {
			delete(l.links, name)
		}
		for _, a := range given {
			delete(l.addresses, a)
		}
		l.under, l.forgotten = nil, nil
		n.mu.Unlock()
		if done != nil {
			close(done)
		}
		if ended {
			return
		}
	}
}

// begin takes what was left before a time; the rest waits for the next. The caller holds mu.
func (l *leaving) begin(before time.Time) (links map[string]Endpoint, forget map[netip.Addr]bool, given []netip.Addr, done chan struct{}) {
	links, forget = map[string]Endpoint{}, map[netip.Addr]bool{}
	for name, p := range l.links {
		if l.ended || !p.since.After(before) {
			links[name] = p.Endpoint
		}
	}
	for a, since := range l.forget {
		if l.ended || !since.After(before) {
			forget[a] = true
			delete(l.forget, a)
		}
	}
	for a := range l.addresses {
		if forget[a] {
			given = append(given, a)
		}
	}
	done = l.done
	l.under, l.forgotten, l.done = done, forget, nil
	if len(l.forget) > 0 || len(l.links) > len(links) {
		l.soon()
	}
	return links, forget, given, done
}

// unlink takes links down that are there still, and lets nothing more through from them.
func (n *Networks) unlink(links map[string]Endpoint) {
	host, err := dialLinks(nil)
	if err != nil {
		n.o.Logger.Warn("links that nobody has any more cannot be taken down", "op", "release", "err", err)
		return
	}
	defer host.close()
	var elements []element
	var there []uint32
	for name, e := range links {
		if index, err := host.index(name); err == nil {
			there = append(there, index)
		}
		if mac, err := net.ParseMAC(e.MAC); err == nil {
			elements = append(elements, upNetwork{Endpoint: e, mac: mac}.elements(name)...)
		}
	}
	if err := host.remove(there...); err != nil {
		n.o.Logger.Warn("links that nobody has any more cannot be taken down", "op", "release", "err", err)
	}
	if err := n.tables.write(n.ctx, &change{drop: elements}); err != nil && KindOf(err) != Interrupted {
		n.o.Logger.Warn("rules for links that nobody has any more cannot be removed", "op", "release", "err", err)
	}
}
