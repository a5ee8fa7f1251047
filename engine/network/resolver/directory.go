package resolver

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// Host is a container as others find it.
type Host struct {
	ID    string // 64 hexadecimal digits
	Name  string
	Owner uint32 // the user whose it is
	// Servers are its own; without any the host's are asked.
	Servers     []netip.AddrPort
	Attachments []Attachment
}

// Attachment is a container's place on a network.
type Attachment struct {
	Network string
	Addrs   []netip.Addr // IPv4 and IPv6
	Aliases []string     // further names, on this network
}

// directory knows containers by name and by address.
type directory struct {
	mu       sync.RWMutex
	hosts    map[string]*host // by ID
	addrs    map[netip.Addr]*host
	segments map[string]*segment // networks by name
}

// host is a container while it is known. A change (of the name, say) makes another, with the same allowance.
type host struct {
	Host
	allowance *allowance
}

// segment is a network: the names on it, and the addresses that are its.
type segment struct {
	prefixes []netip.Prefix
	gateways []netip.Addr
	names    map[string][]record // in lower case, without a last dot
}

// record is one meaning of a name.
type record struct {
	host  *host
	addrs []netip.Addr
}

func newDirectory() *directory {
	return &directory{hosts: map[string]*host{}, addrs: map[netip.Addr]*host{}, segments: map[string]*segment{}}
}

// put makes a container known, or changes what is known of it.
func (d *directory) put(h Host) {
	d.mu.Lock()
	defer d.mu.Unlock()
	entry := &host{Host: h, allowance: new(allowance)}
	if old := d.hosts[h.ID]; old != nil {
		entry.allowance = old.allowance
		d.forget(old)
	}
	d.hosts[h.ID] = entry
	for _, a := range h.Attachments {
		seg := d.segment(a.Network)
		for _, name := range namesOf(h, a) {
			seg.names[name] = append(seg.names[name], record{host: entry, addrs: a.Addrs})
		}
		for _, addr := range a.Addrs {
			d.addrs[addr] = entry
		}
	}
}

// drop makes a container unknown.
func (d *directory) drop(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h := d.hosts[id]; h != nil {
		d.forget(h)
		delete(d.hosts, id)
	}
}

func (d *directory) forget(h *host) {
	for _, a := range h.Attachments {
		for _, addr := range a.Addrs {
			if d.addrs[addr] == h { // and not one that was given the address since
				delete(d.addrs, addr)
			}
		}
		seg := d.segments[a.Network]
		for _, name := range namesOf(h.Host, a) {
			left := slices.DeleteFunc(seg.names[name], func(r record) bool { return r.host == h })
			if len(left) == 0 {
				delete(seg.names, name)
			} else {
				seg.names[name] = left
			}
		}
		d.tidy(a.Network)
	}
}

// segment is a network, known from now on.
func (d *directory) segment(network string) *segment {
	seg := d.segments[network]
	if seg == nil {
		seg = &segment{names: map[string][]record{}}
		d.segments[network] = seg
	}
	return seg
}

// setNetworks says which networks there are. What is known of a container on another stays.
func (d *directory) setNetworks(networks []Network) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, seg := range d.segments {
		seg.prefixes, seg.gateways = nil, nil
		d.tidy(name)
	}
	for _, n := range networks {
		seg := d.segment(n.Name)
		seg.prefixes, seg.gateways = n.Prefixes, n.Gateways
	}
}

func (d *directory) tidy(network string) {
	if seg := d.segments[network]; len(seg.names) == 0 && len(seg.prefixes) == 0 && len(seg.gateways) == 0 {
		delete(d.segments, network)
	}
}

// namesOf lists the names that a container has on a network, each once.
func namesOf(h Host, a Attachment) []string {
	short := []string{h.Name, h.ID[:min(len(h.ID), 12)]}
	short = append(short, a.Aliases...)
	all := make([]string, 0, 2*len(short))
	for _, name := range short {
		name = strings.ToLower(name)
		all = append(all, name, name+"."+strings.ToLower(a.Network))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// asker is the container that has an address on a network, or nil.
func (d *directory) asker(network string, addr netip.Addr) *host {
	d.mu.RLock()
	defer d.mu.RUnlock()
	h := d.addrs[addr]
	if h == nil || !slices.ContainsFunc(h.Attachments, func(a Attachment) bool {
		return a.Network == network && slices.Contains(a.Addrs, addr)
	}) {
		return nil
	}
	return h
}

// find looks up a name (in lower case, without a last dot) for a container: the addresses of those which share a network
// with it, and whether there are any. Those of one name come in any order, so that the first is not asked for everything.
func (d *directory) find(by *host, name string) ([]netip.Addr, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	best, dotted := 3, strings.Contains(name, ".")
	var found []record
	for _, a := range by.Attachments {
		seg := d.segments[a.Network]
		if seg == nil {
			continue
		}
		for _, r := range seg.names[name] {
			far := distance(by, r.host)
			if dotted && far == 2 {
				continue
			}
			if far < best {
				best, found = far, found[:0]
			}
			if far == best {
				found = append(found, r)
			}
		}
	}
	var addrs []netip.Addr
	for _, i := range rand.Perm(len(found)) {
		addrs = append(addrs, found[i].addrs...)
	}
	return addrs, len(found) > 0
}

// distance is how far a container's names are from another's: 0 of the same owner, 1 root's, 2 somebody else's.
func distance(by, h *host) int {
	switch h.Owner {
	case by.Owner:
		return 0
	case 0:
		return 1
	default:
		return 2
	}
}

// reverse finds the name of an address, as name.network, and whether the address is one of hull's networks at all, so
// that nobody else is to be asked about it.
func (d *directory) reverse(by *host, addr netip.Addr) (name string, ours bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	h := d.addrs[addr]
	for network, seg := range d.segments {
		if seg.has(addr) {
			ours = true
		}
		if h != nil && by.on(network) && slices.ContainsFunc(h.Attachments, func(a Attachment) bool {
			return a.Network == network && slices.Contains(a.Addrs, addr)
		}) {
			return h.Name + "." + network, true
		}
	}
	return "", ours || h != nil
}

func (s *segment) has(addr netip.Addr) bool {
	return slices.ContainsFunc(s.prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}

func (h *host) on(network string) bool {
	return slices.ContainsFunc(h.Attachments, func(a Attachment) bool { return a.Network == network })
}

// serversOf lists those of a container's own servers that may be asked for it from the host: not the host itself, and
// nobody on a network that the container is not on.
func (d *directory) serversOf(by *host) []netip.AddrPort {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var may []netip.AddrPort
next:
	for _, server := range by.Servers {
		addr := server.Addr().Unmap()
		if addr.IsLoopback() || addr.IsUnspecified() || addr.IsMulticast() {
			continue
		}
		for network, seg := range d.segments {
			if slices.Contains(seg.gateways, addr) || seg.has(addr) && !by.on(network) {
				continue next
			}
		}
		may = append(may, server)
	}
	return may
}
