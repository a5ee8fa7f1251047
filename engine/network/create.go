package network

import (
	"context"
	"net/netip"
	"slices"
	"time"
)

// Create makes a network. Nothing of it is in the kernel before its first lease.
func (n *Networks) Create(ctx context.Context, want New) (*Network, error) {
	if err := CheckName(want.Name); err != nil {
		return nil, err
	}
	if want.Subnet.IsValid() {
		if err := checkSubnet(want.Name, want.Subnet); err != nil {
			return nil, err
		}
	}
	if err := checkSubnet6(want.Name, want.Subnet6); err != nil {
		return nil, err
	}
	if err := n.lock(ctx); err != nil {
		return nil, err
	}
	v := Network{Name: want.Name, ID: newID(), Subnet: want.Subnet, Subnet6: want.Subnet6, UID: want.UID, GID: want.GID, Created: time.Now().UTC()}
	err := n.create(&v)
	n.unlock()
	if err != nil {
		return nil, err
	}
	n.changed()
	return &v, nil
}

// create is for one who has the gate.
func (n *Networks) create(v *Network) error {
	if _, ok := n.Find(v.Name); ok {
		return fail("create", v.Name, Exists, "there is a network %s already", v.Name)
	}
	if err := n.settle(v, otherBits); err != nil {
		return err
	}
	if err := n.save(*v); err != nil {
		return failed("create", v.Name, err, "the record of the network %s cannot be written", v.Name)
	}
	n.crash(PointRecorded)
	n.mu.Lock()
	n.networks[v.Name] = newHeld(*v)
	n.mu.Unlock()
	return nil
}

// settle chooses what is not given of a network: subnets, and the bridge's name.
func (n *Networks) settle(v *Network, bits int) error {
	host, err := hostUses(v.Bridge)
	if err != nil {
		return failed("create", v.Name, err, "no subnet can be chosen for the network %s", v.Name)
	}
	n.mu.Lock()
	taken := append(n.others(v.Name), host...)
	n.mu.Unlock()
	for _, p := range []netip.Prefix{v.Subnet, v.Subnet6} {
		if u, found := overlap(p, taken); p.IsValid() && found {
			return fail("create", v.Name, Exists, "the subnet %s overlaps %s of %s; choose another", p, u.prefix, u.by)
		}
	}
	if !v.Subnet.IsValid() {
		p, ok := choose(n.o.Key+v.Name, bits, taken)
		if !ok {
			return fail("create", v.Name, Full, "no private subnet is free for the network %s: the host routes all of them; give it one by writing to networks/%[1]s/subnet", v.Name)
		}
		v.Subnet = p
	}
	if !v.Subnet6.IsValid() && n.v6 {
		v.Subnet6 = choose6(v.ID)
	}
	if v.Bridge == "" {
		v.Bridge = bridgeName(v)
	}
	*v = made(*v)
	return nil
}

// Remove removes a network that nobody has an address on.
func (n *Networks) Remove(ctx context.Context, name string) error {
	if err := n.lock(ctx); err != nil {
		return err
	}
	err := n.remove(name)
	n.unlock()
	if err == nil {
		n.changed()
	}
	return err
}

// remove is for one who has the gate.
func (n *Networks) remove(name string) error {
	if name == Default {
		return fail("remove", name, Denied, "the default network is always there")
	}
	n.mu.Lock()
	h := n.networks[name]
	if h == nil {
		n.mu.Unlock()
		return notThere("remove", name)
	}
	if err := n.unused("remove", h); err != nil {
		n.mu.Unlock()
		return err
	}
	delete(n.networks, name) // no lease any more
	n.mu.Unlock()
	if err := n.erase(name); err != nil {
		n.mu.Lock()
		n.networks[name] = h
		n.mu.Unlock()
		return failed("remove", name, err, "the record of the network %s cannot be removed", name)
	}
	n.crash(PointErased)
	if err := n.down(h); err != nil {
		n.o.Logger.Warn("what a removed network has in the kernel cannot be taken down", "network", name, "op", "remove", "err", err)
	}
	return nil
}

// unused tells who is on a network. The caller holds mu.
func (n *Networks) unused(op string, h *held) error {
	var who []string
	for holder := range h.holders {
		who = append(who, n.title(holder))
	}
	if len(who) == 0 {
		return nil
	}
	slices.Sort(who)
	text := who[0]
	if len(who) > 1 {
		text += " and others"
	}
	return fail(op, h.network.Name, Busy, "the network %s is in use by %s, which keeps its address on it while it exists", h.network.Name, text)
}

// Chown gives a network to somebody else.
func (n *Networks) Chown(ctx context.Context, name string, uid, gid uint32) error {
	return n.alter(ctx, "chown", name, func(h *held) (Network, error) {
		v := h.network
		v.UID, v.GID = uid, gid
		if name == Default {
			return v, fail("chown", name, Denied, "the default network is root's")
		}
		return v, nil
	})
}

// SetSubnet changes the subnets, one of a family at the most, of a network that nobody has an address on: all or none.
func (n *Networks) SetSubnet(ctx context.Context, name string, subnets ...netip.Prefix) error {
	err := n.alter(ctx, "change", name, func(h *held) (Network, error) {
		v := h.network
		if err := n.unused("change", h); err != nil {
			return v, err
		}
		for _, s := range subnets {
			set, check := &v.Subnet, checkSubnet
			if s.Addr().Is6() {
				set, check = &v.Subnet6, checkSubnet6
			}
			if err := check(name, s); err != nil {
				return v, err
			}
			*set = s
		}
		return v, nil
	})
	if err == nil {
		n.changed()
	}
	return err
}

// alter changes a network's record. change is called with mu held.
func (n *Networks) alter(ctx context.Context, op, name string, change func(*held) (Network, error)) error {
	if err := n.lock(ctx); err != nil {
		return err
	}
	defer n.unlock()
	n.mu.Lock()
	h := n.networks[name]
	if h == nil {
		n.mu.Unlock()
		return notThere(op, name)
	}
	old := h.network
	v, err := change(h)
	n.mu.Unlock()
	if err != nil {
		return err
	}
	moved := v.Subnet != old.Subnet || v.Subnet6 != old.Subnet6
	if moved {
		bits := otherBits
		if name == Default {
			bits = defaultBits
		}
		if err := n.settle(&v, bits); err != nil {
			return err
		}
	}
	if err := n.save(v); err != nil {
		return failed(op, name, err, "the record of the network %s cannot be written", name)
	}
	n.crash(PointRecorded)
	if moved {
		if err := n.down(h); err != nil {
			return failed(op, name, err, "the bridge of the network %s cannot be taken down", name)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	h.network = v
	if moved {
		h.next = 1
	}
	return nil
}
