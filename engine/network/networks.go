package network

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Options are what a store of networks is made of.
type Options struct {
	Dir    string // of the records
	Key    string // tells this hull from the others of the machine: a few letters and digits
	Logger *slog.Logger
	// Title names a holder for people, as in "the container web"; nil takes its ID.
	Title func(holder string) string
	// Changed is called, by nobody who holds a lock, after a network came, went, or came up; nil does nothing. The gateways
	// may be others then.
	Changed func()
	// Crash is called at each of the points; nil does nothing.
	Crash func(point string)
}

// The points of [Options.Crash].
const (
	PointRecorded = "network recorded" // a network's record is written
	PointBridged  = "network bridged"  // its bridge is there, the rules are not
	PointUp       = "network up"       // it is up
	PointErased   = "network erased"   // its record is gone, its bridge is not
	PointLinked   = "network linked"   // the links of a namespace are there, without addresses
	PointBound    = "network bound"    // ports are held, the rules for them are not there
)

// Points lists them.
func Points() []string {
	return []string{PointRecorded, PointBridged, PointUp, PointErased, PointLinked, PointBound}
}

// Networks are the networks of one hull, on the bridges of the network namespace that [Open] was called in. Its methods
// may be called from many goroutines.
type Networks struct {
	o      Options
	tables *tables
	v6     bool          // the host has IPv6
	gate   chan struct{} // held while networks come, go and change in the kernel
	work   sync.WaitGroup
	ctx    context.Context //nolint:containedctx // the daemon's: that of work which outlives the call it came with
	cancel context.CancelFunc
	// Under the gate:
	watch  *watch
	router map[string]bool // what a hull turned on of forwarding

	mu        sync.Mutex
	networks  map[string]*held
	holders   map[string]map[string]Endpoint // by holder and network
	addresses map[netip.Addr]Lease
	published map[string]*publication // by holder
	plugged   map[string][]string     // by Endpoint.Link: what its links are called in the kernel
	leaving   leaving
	resolver  uint16
}

// held is a network with what is known of it.
type held struct {
	network Network
	holders map[string]Endpoint
	macs    map[string]bool
	next    uint32 // the last address that was given, as a number within the subnet
	up      bool
	index   int // the bridge's, if it is up
	mtu     int
}

func newHeld(v Network) *held {
	return &held{network: v, holders: map[string]Endpoint{}, macs: map[string]bool{}, next: 1}
}

// Open reads the networks. It changes nothing in the kernel. The goroutines it starts end with [Networks.Close]; ctx is
// theirs.
func Open(ctx context.Context, o Options) (*Networks, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	n := &Networks{
		o: o, tables: newTables("hull-" + o.Key), v6: hasIPv6(), gate: make(chan struct{}, 1), networks: map[string]*held{},
		holders: map[string]map[string]Endpoint{}, addresses: map[netip.Addr]Lease{}, published: map[string]*publication{},
		plugged: map[string][]string{}, leaving: newLeaving(),
	}
	n.ctx, n.cancel = context.WithCancel(ctx)
	if err := n.readAll(); err != nil {
		return nil, err
	}
	if n.networks[Default] == nil {
		n.networks[Default] = newHeld(Network{Name: Default, ID: newID(), Created: time.Now().UTC()})
	}
	n.work.Go(n.tables.run)
	n.work.Go(n.forgetting)
	return n, nil
}

func newID() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}

// Close ends the work on networks, and leaves what is in the kernel to the containers that run, and to the next daemon.
func (n *Networks) Close() error {
	n.cancel()
	n.gate <- struct{}{}
	if n.watch != nil {
		n.watch.close()
		n.watch = nil
	}
	<-n.gate
	n.mu.Lock()
	var all []*publication
	for _, p := range n.published {
		all = append(all, p)
	}
	n.published = map[string]*publication{}
	n.mu.Unlock()
	for _, p := range all {
		p.close()
	}
	n.endLeaving()
	n.tables.end()
	n.work.Wait()
	return nil
}

// lock waits for the gate.
func (n *Networks) lock(ctx context.Context) error {
	select {
	case n.gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return failed("wait", "", ctx.Err(), "other work on networks is not done yet")
	}
}

func (n *Networks) unlock() { <-n.gate }

func (n *Networks) crash(point string) {
	if n.o.Crash != nil {
		n.o.Crash(point)
	}
}

func (n *Networks) changed() {
	if n.o.Changed != nil {
		n.o.Changed()
	}
}

func (n *Networks) title(holder string) string {
	if n.o.Title != nil {
		return n.o.Title(holder)
	}
	return holder
}

// List answers every network, by name. It never waits. The default one has no subnet before its first use.
func (n *Networks) List() []*Network {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := make([]*Network, 0, len(n.networks))
	for _, h := range n.networks {
		v := h.network
		list = append(list, &v)
	}
	slices.SortFunc(list, func(a, b *Network) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Find answers the network of a name. It never waits.
func (n *Networks) Find(name string) (*Network, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.networks[name]
	if h == nil {
		return nil, false
	}
	v := h.network
	return &v, true
}

func notThere(op, name string) error {
	return fail(op, name, NotFound, "there is no network %s; mkdir networks/%s makes it", name, name)
}

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

// SetSubnet changes a subnet, of the family it is of, of a network that nobody has an address on.
func (n *Networks) SetSubnet(ctx context.Context, name string, subnet netip.Prefix) error {
	err := n.alter(ctx, "change", name, func(h *held) (Network, error) {
		v := h.network
		if err := n.unused("change", h); err != nil {
			return v, err
		}
		var err error
		if subnet.Addr().Is6() {
			v.Subnet6 = subnet
			err = checkSubnet6(name, subnet)
		} else {
			v.Subnet = subnet
			err = checkSubnet(name, subnet)
		}
		return v, err
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

// Clear takes down all that is in the kernel; the records stay. It is for the orderly end, when no container runs.
func (n *Networks) Clear(ctx context.Context) error {
	if err := n.lock(ctx); err != nil {
		return err
	}
	defer n.unlock()
	n.mu.Lock()
	var all []*held
	for _, h := range n.networks {
		all = append(all, h)
	}
	var ports []*publication
	for _, p := range n.published {
		ports = append(ports, p)
	}
	clear(n.published)
	n.mu.Unlock()
	for _, p := range ports {
		p.close()
	}
	var errs []error
	for _, h := range all {
		errs = append(errs, n.down(h))
	}
	errs = append(errs, n.sweepLinks(nil), n.tables.write(ctx, &change{empty: true}), n.stopForwarding())
	return errors.Join(errs...)
}
