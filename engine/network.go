package engine

import (
	"cmp"
	"context"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"hull/engine/network"
	"hull/engine/network/resolver"
)

// Network is one moment of a network. It never changes.
type Network struct {
	Name string
	Owner
	Created time.Time // zero of host and none
	// Word is set for host and none, which are no bridges.
	Word     bool
	ID       string // 64 hex digits
	Bridge   string // the interface on the host
	Subnets  []netip.Prefix
	Gateways []netip.Addr // the bridge's addresses, one for each subnet
}

// NetworkUser is a container on a network: its setting names that, or it has an address there.
type NetworkUser struct {
	ID, Name  string
	Addresses []netip.Addr // none unless it has some now
}

// openNetworks reads the networks. It leaves the kernel as it is.
func (e *Engine) openNetworks() error {
	var err error
	alive := context.WithoutCancel(e.ctx) // until they are closed, which is after the engine's own end
	e.networks, err = network.Open(alive, network.Options{
		Dir: filepath.Join(e.o.Dir, "networks"), Key: e.o.Tree, Logger: e.o.Logger,
		Title:   e.titleOf,
		Changed: e.listen,
		Crash:   func(at string) { e.crash(point(at)) },
	})
	if e.links = e.parts.links; e.links == nil && err == nil {
		e.links = e.networks
	}
	if e.names = e.parts.names; e.names == nil && err == nil {
		lent, trouble := e.o.Monitor.Lent(alive)
		if trouble != nil {
			e.o.Logger.Warn("questions for names that came while no daemon lived are lost", "op", "open", "err", trouble)
		}
		e.names = resolver.New(alive, resolver.Options{Conf: e.o.ResolvConf, Logger: e.o.Logger, Lender: lender{alive, e.o.Monitor}, Lent: lent})
	}
	return err
}

// lender has the monitor keep the resolver's sockets.
type lender struct {
	ctx     context.Context //nolint:containedctx // that of the resolver's own life
	monitor Monitor
}

func (l lender) Lend(name string, fd int) error { return l.monitor.Lend(l.ctx, name, fd) }

func (l lender) Return(name string) error { return l.monitor.Return(l.ctx, name) }

// titleOf names a container for sentences.
func (e *Engine) titleOf(id string) string {
	if s := e.index.find(id); s != nil {
		return "the container " + s.snapshot.Load().Name
	}
	return "the container " + Short(id)
}

// Networks answers every network, by name, host and none included. It never waits.
func (e *Engine) Networks() []*Network {
	list := e.networks.List()
	out := make([]*Network, 0, len(list)+2)
	for _, n := range list {
		out = append(out, shownNetwork(n))
	}
	out = append(out, &Network{Name: hostWord, Word: true}, &Network{Name: noneWord, Word: true})
	slices.SortFunc(out, func(a, b *Network) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// FindNetwork answers the network of a name. It never waits.
func (e *Engine) FindNetwork(name string) (*Network, bool) {
	if name == hostWord || name == noneWord {
		return &Network{Name: name, Word: true}, true
	}
	n, ok := e.networks.Find(name)
	if !ok {
		return nil, false
	}
	return shownNetwork(n), true
}

func shownNetwork(n *network.Network) *Network {
	out := &Network{Name: n.Name, Owner: Owner{UID: n.UID, GID: n.GID}, Created: n.Created, ID: n.ID, Bridge: n.Bridge}
	for _, s := range []netip.Prefix{n.Subnet, n.Subnet6} {
		if s.IsValid() {
			out.Subnets = append(out.Subnets, s)
		}
	}
	for _, g := range []netip.Addr{n.Gateway, n.Gateway6} {
		if g.IsValid() {
			out.Gateways = append(out.Gateways, g)
		}
	}
	return out
}

// NetworkUsers answers the containers on a network, by name. It never waits.
func (e *Engine) NetworkUsers(name string) []NetworkUser {
	places := map[string][]netip.Addr{}
	if name != hostWord && name != noneWord {
		for _, l := range e.networks.Leases(name) {
			places[l.Holder] = addresses(l.Endpoint)
		}
	}
	var users []NetworkUser
	for _, s := range e.index.all() {
		c := s.snapshot.Load()
		if at, ok := places[c.ID]; ok || c.network.names(name) {
			users = append(users, NetworkUser{ID: c.ID, Name: c.Name, Addresses: at})
		}
	}
	slices.SortFunc(users, func(a, b NetworkUser) int { return cmp.Compare(a.Name, b.Name) })
	return users
}

func addresses(p network.Endpoint) []netip.Addr {
	var all []netip.Addr
	for _, a := range []netip.Addr{p.Addr, p.Addr6} {
		if a.IsValid() {
			all = append(all, a)
		}
	}
	return all
}

// names tells whether a container's setting names a network.
func (n networking) names(network string) bool {
	switch network {
	case hostWord:
		return n.Mode == hosted
	case noneWord:
		return n.Mode == unplugged
	}
	return slices.ContainsFunc(n.Attach, func(a attachment) bool { return a.Network == network })
}

// CreateNetwork makes a network.
func (e *Engine) CreateNetwork(ctx context.Context, name string, owner Owner) (*Network, error) {
	if name == bridgeWord || name == hostWord || name == noneWord {
		return nil, fail("create", "", Exists, "there is a network %s already: it is one of hull's own words", name)
	}
	n, err := e.networks.Create(ctx, network.New{Name: name, UID: owner.UID, GID: owner.GID})
	if err != nil {
		return nil, asError("create", err)
	}
	e.sayNetwork(e.origin(ctx), actCreate, name, owner.UID, "")
	return shownNetwork(n), nil
}

// RemoveNetwork removes a network that no container is on.
func (e *Engine) RemoveNetwork(ctx context.Context, name string) error {
	if err := e.SpareNetwork(name); err != nil {
		return err
	}
	n, _ := e.FindNetwork(name)
	if err := e.networks.Remove(ctx, name); err != nil {
		return asError("remove", err)
	}
	e.sayNetwork(e.origin(ctx), actDestroy, name, n.UID, "")
	return nil
}

// SpareNetwork says what RemoveNetwork would say now, if the containers of these IDs were gone.
func (e *Engine) SpareNetwork(name string, gone ...string) error {
	if err := e.ownNetwork("remove", name); err != nil {
		return err
	}
	return e.unused("remove", name, gone...)
}

// ownNetwork tells why something cannot be done with a network: it is not there, or always is.
func (e *Engine) ownNetwork(op, name string) error {
	n, ok := e.FindNetwork(name)
	switch {
	case !ok:
		return fail(op, "", NotFound, "there is no network %s", clip(name))
	case n.Word, name == network.Default:
		return fail(op, "", NeedsRoot, "the network %s is always there, and everybody's", name)
	}
	return nil
}

// unused tells which container is on a network, of others than those of some IDs.
func (e *Engine) unused(op, name string, gone ...string) error {
	users := slices.DeleteFunc(e.NetworkUsers(name), func(u NetworkUser) bool { return slices.Contains(gone, u.ID) })
	if len(users) == 0 {
		return nil
	}
	return fail(op, "", Busy, "the network %s is used by the container %s: remove that, or take the network from its config/network; one that runs has to be stopped, too", name, users[0].Name)
}

// ChownNetwork gives a network to somebody else. Containers that are on it stay.
func (e *Engine) ChownNetwork(ctx context.Context, name string, owner Owner) error {
	if err := e.ownNetwork("chown", name); err != nil {
		return err
	}
	if err := e.networks.Chown(ctx, name, owner.UID, owner.GID); err != nil {
		return asError("chown", err)
	}
	e.sayNetwork(e.origin(ctx), actUpdate, name, owner.UID, "")
	return nil
}

// SetSubnet gives a network that no container is on another subnet: one for IPv4, one for IPv6, or both, a line each. It
// is root's alone, whoever owns the network: this machine's own packets for those addresses then go there.
func (e *Engine) SetSubnet(ctx context.Context, name, value string) error {
	n, ok := e.FindNetwork(name)
	switch {
	case !ok:
		return fail("set", "", NotFound, "there is no network %s", clip(name))
	case n.Word:
		return fail("set", "", NeedsRoot, "the network %s is no bridge and has no subnet", name)
	}
	if why := e.origin(ctx); why.uid != nil && *why.uid != 0 {
		return fail("set", "", NeedsRoot, "the subnet of the network %s is root's to choose: this machine sends what is for its addresses there", name)
	}
	wanted, err := parseSubnets(value)
	if err != nil {
		return fail("set", "", Invalid, "the subnet of the network %s was not changed: %w", name, err)
	}
	if err := e.unused("set", name); err != nil {
		return err
	}
	set := func() error { return e.networks.SetSubnet(ctx, name, wanted...) }
	if name == network.Default {
		err = e.pool.without(set)
	} else {
		err = set()
	}
	if err != nil {
		if err = asError("set", err); KindOf(err) == Exists { // the addresses, not the name
			err = fail("set", "", InUse, "the subnet of the network %s was not changed: %w", name, err)
		}
		return err
	}
	e.sayNetwork(e.origin(ctx), actUpdate, name, n.UID, "")
	return nil
}
