package main

import (
	"context"
	"net/netip"
	"time"

	"hull/engine"
	"hull/fs"
)

// networks shows the engine's networks to the tree.
type networks struct{ engine *engine.Engine }

func (n networks) List() []*fs.Network {
	list := n.engine.Networks()
	out := make([]*fs.Network, len(list))
	for i, x := range list {
		out[i] = shownNetwork(x)
	}
	return out
}

func (n networks) Find(name string) (*fs.Network, bool) {
	x, ok := n.engine.FindNetwork(name)
	if !ok {
		return nil, false
	}
	return shownNetwork(x), true
}

func shownNetwork(x *engine.Network) *fs.Network {
	out := &fs.Network{Name: x.Name, Owner: x.UID, Made: x.Created}
	if x.Word {
		out.Made = time.Unix(0, 0)
	}
	for _, s := range x.Subnets {
		out.Subnets = append(out.Subnets, s.String())
	}
	out.Gateways = texts(x.Gateways)
	return out
}

func texts(addresses []netip.Addr) []string {
	out := make([]string, len(addresses))
	for i, a := range addresses {
		out[i] = a.String()
	}
	return out
}

func (n networks) Create(ctx context.Context, name string, owner fs.Credential) (*fs.Network, error) {
	x, err := n.engine.CreateNetwork(ctx, name, engine.Owner{UID: owner.UID, GID: owner.GID})
	if err != nil {
		return nil, fromEngine("networks/"+name, err)
	}
	return shownNetwork(x), nil
}

func (n networks) Remove(ctx context.Context, name string) error {
	return fromEngine("networks/"+name, n.engine.RemoveNetwork(ctx, name))
}

func (n networks) Spare(name string) error {
	return fromEngine("networks/"+name, n.engine.SpareNetwork(name))
}

func (n networks) Chown(ctx context.Context, name string, uid uint32) error {
	return fromEngine("networks/"+name, n.engine.ChownNetwork(ctx, name, engine.Owner{UID: uid, GID: groupOf(uid)}))
}

func (n networks) SetSubnet(ctx context.Context, name, value string) error {
	return fromEngine("networks/"+name, n.engine.SetSubnet(ctx, name, value))
}

func (n networks) Members(name string) []fs.Member {
	users := n.engine.NetworkUsers(name)
	out := make([]fs.Member, len(users))
	for i, u := range users {
		out[i] = fs.Member{Name: u.Name, Addresses: texts(u.Addresses)}
	}
	return out
}

// shownAddresses are a container's own.
func shownAddresses(x *engine.Container) []fs.Address {
	out := make([]fs.Address, 0, len(x.Endpoints))
	for _, p := range x.Endpoints {
		a := fs.Address{Network: p.Network, IP: p.Addr.String()}
		if p.Addr6.IsValid() {
			a.IP6 = p.Addr6.String()
		}
		out = append(out, a)
	}
	return out
}

// shownPorts are those that a container publishes, and of one with an address those that its image names beside.
func shownPorts(x *engine.Container) []fs.Port {
	var out []fs.Port
	published := map[string]bool{}
	for _, b := range x.Ports {
		p := fs.Port{Host: netip.AddrPortFrom(b.HostIP, b.HostPort), Port: b.Port, Proto: b.Proto}
		published[p.String()] = true
		out = append(out, p)
	}
	if len(x.Endpoints) == 0 {
		return out
	}
	for _, p := range engine.ExposedPorts(x.Exposed) {
		if q := (fs.Port{Port: p.Port, Proto: p.Proto}); !published[q.String()] {
			out = append(out, q)
		}
	}
	return out
}

// pruneNetworks removes the networks that no container is on.
func (u upkeep) pruneNetworks(ctx context.Context, leaving []string, dry bool) (lines []string, err error) {
	for _, n := range u.engine.Networks() {
		if n.Word || u.engine.SpareNetwork(n.Name, leaving...) != nil {
			continue
		}
		if !dry {
			err := u.engine.RemoveNetwork(ctx, n.Name)
			switch kind := engine.KindOf(err); {
			case err != nil && (kind == engine.Busy || kind == engine.NotFound):
				continue // a container is on it or somebody has removed it meanwhile
			case err != nil:
				return lines, fromEngine("networks/"+n.Name, err)
			}
		}
		lines = append(lines, "Deleted: network "+n.Name)
	}
	return lines, nil
}
