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
