package fstest

import (
	"context"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"hull/fs"
)

// Networks is the fake as the tree's networks. Who is on one is what Plug said.
func (f *Fake) Networks() fs.Networks { return fakeNetworks{f} }

type fakeNetworks struct{ f *Fake }

// fixedNetworks are those that always are.
func fixedNetworks() map[string]*fs.Network {
	return map[string]*fs.Network{
		"default": {Name: "default", Made: now(), Subnets: []string{"10.89.0.0/24"}, Gateways: []string{"10.89.0.1"}},
		"host":    {Name: "host", Made: time.Unix(0, 0)},
		"none":    {Name: "none", Made: time.Unix(0, 0)},
	}
}

func (s fakeNetworks) List() []*fs.Network {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	return sorted(s.f.networks)
}

func (s fakeNetworks) Find(name string) (*fs.Network, bool) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	n, ok := s.f.networks[name]
	return n, ok
}

func (s fakeNetworks) Create(_ context.Context, name string, owner fs.Credential) (*fs.Network, error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	switch {
	case s.f.networks[name] != nil:
		return nil, wrong(fs.Exists, "create", "networks/"+name, "There is a network %s.", name)
	case name == "" || strings.ContainsAny(name[:1], "-_.") || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "":
		return nil, wrong(fs.Invalid, "create", "networks/"+name, "That is no name for a network: %q.", name)
	}
	s.f.made++
	at := "10.89." + strconv.Itoa(s.f.made) + "."
	n := &fs.Network{Name: name, Owner: owner.UID, Made: now(), Subnets: []string{at + "0/24"}, Gateways: []string{at + "1"}}
	s.f.networks[name] = n
	return n, nil
}

// change replaces the snapshot of a network, if it is one that was made. Called with mu held.
func (s fakeNetworks) change(op, name string, do func(*fs.Network)) error {
	n, ok := s.f.networks[name]
	switch {
	case !ok:
		return wrong(fs.NotFound, op, "networks/"+name, "There is no network %s.", name)
	case name == "host", name == "none", name == "default" && op != "set":
		return wrong(fs.Forbidden, op, "networks/"+name, "The network %s is always there.", name)
	}
	changed := *n
	do(&changed)
	s.f.networks[name] = &changed
	return nil
}

func (s fakeNetworks) Chown(_ context.Context, name string, uid uint32) error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	return s.change("chown", name, func(n *fs.Network) { n.Owner = uid })
}

// Plug makes containers the members of a network.
func (f *Fake) Plug(name string, members ...fs.Member) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.members[name] = members
}

func (s fakeNetworks) Members(name string) []fs.Member {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	return s.f.members[name]
}

func (s fakeNetworks) Spare(name string) error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	return s.spare("remove", name)
}

func (s fakeNetworks) spare(op, name string) error {
	if err := s.change(op, name, func(*fs.Network) {}); err != nil {
		return err
	}
	if m := s.f.members[name]; len(m) > 0 {
		return wrong(fs.Busy, op, "networks/"+name, "The network %s is used by %s.", name, m[0].Name)
	}
	return nil
}

func (s fakeNetworks) Remove(_ context.Context, name string) error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if err := s.spare("remove", name); err != nil {
		return err
	}
	delete(s.f.networks, name)
	return nil
}

func (s fakeNetworks) SetSubnet(_ context.Context, name, value string) error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	wanted := strings.Fields(value)
	var gateways []string
	for _, w := range wanted {
		p, err := netip.ParsePrefix(w)
		if err != nil || p != p.Masked() {
			return wrong(fs.Invalid, "set", "networks/"+name, "%q is not a subnet.", w)
		}
		gateways = append(gateways, p.Addr().Next().String())
		for _, o := range s.f.networks {
			for _, other := range o.Subnets {
				if q := netip.MustParsePrefix(other); o.Name != name && q.Overlaps(p) {
					return wrong(fs.InUse, "set", "networks/"+name, "The network %s has addresses of %s.", o.Name, w)
				}
			}
		}
	}
	if len(wanted) == 0 {
		return wrong(fs.Invalid, "set", "networks/"+name, "A network has a subnet.")
	}
	if err := s.spare("set", name); err != nil {
		return err
	}
	return s.change("set", name, func(n *fs.Network) { n.Subnets, n.Gateways = wanted, gateways })
}
