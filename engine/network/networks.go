package network

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"sync"
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

// Networks are the networks of one hull, on the bridges of the network namespace that [Open] was called in. Its methods
// may be called from many goroutines.
type Networks struct {
	o Options

	mu sync.Mutex
}

// Open reads the networks. It changes nothing in the kernel. The goroutines it starts end with [Networks.Close]; ctx is
// theirs.
func Open(ctx context.Context, o Options) (*Networks, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Networks{o: o}, nil
}

// Close ends the work on networks, and leaves what is in the kernel to the containers that run, and to the next daemon.
func (n *Networks) Close() error { return nil }

// Clear takes down all that is in the kernel; the records stay. It is for the orderly end, when no container runs.
func (n *Networks) Clear(ctx context.Context) error { return nil }

// Support tells what the kernel lacks for networks, and what works without; nil if it lacks nothing.
func (n *Networks) Support(ctx context.Context) error { return nil }

// Reconcile is called once, before any lease: it takes again the addresses and the ports of every holder there is, and
// clears away what is left in the kernel of those that are no more. The error tells what could not be taken again; the
// rest is.
func (n *Networks) Reconcile(ctx context.Context, live map[string]Live) error { return nil }

// List answers every network, by name. It never waits.
func (n *Networks) List() []*Network { return nil }

// Find answers the network of a name. It never waits.
func (n *Networks) Find(name string) (*Network, bool) { return nil, false }

// Create makes a network. Nothing of it is in the kernel before its first lease.
func (n *Networks) Create(ctx context.Context, want New) (*Network, error) { return nil, nil }

// Remove removes a network that nobody has an address on.
func (n *Networks) Remove(ctx context.Context, name string) error { return nil }

// Chown gives a network to somebody else.
func (n *Networks) Chown(ctx context.Context, name string, uid, gid uint32) error { return nil }

// SetSubnet changes a subnet, of the family it is of, of a network that nobody has an address on.
func (n *Networks) SetSubnet(ctx context.Context, name string, subnet netip.Prefix) error { return nil }

// Leases answers who has an address on a network, by holder. It never waits.
func (n *Networks) Leases(network string) []Lease { return nil }

// Held answers the endpoints of a holder, by their names. It never waits.
func (n *Networks) Held(holder string) []Endpoint { return nil }

// Holder answers who has an address. It never waits.
func (n *Networks) Holder(addr netip.Addr) (Lease, bool) { return Lease{}, false }

// Lease takes a place on want.Network: the address, MAC and name that want has, and others where it has none. It brings
// the network up if it is not. A holder has one place on a network: what it already has is answered if it is as wanted.
func (n *Networks) Lease(ctx context.Context, holder string, want Endpoint) (Endpoint, error) {
	return Endpoint{}, nil
}

// Give makes everything that one holder has another's: a namespace made beforehand becomes a container's.
func (n *Networks) Give(from, to string) {}

// Release gives back all the places of a holder, or those on the networks named. Links, if any, are taken down, and
// connections forgotten, in the package's own time.
func (n *Networks) Release(holder string, networks ...string) {}

// Plug makes the links from a namespace to its places, with addresses, routes, and everything up, lo too. The first
// endpoint has the default route. Links go with the namespace.
func (n *Networks) Plug(ctx context.Context, netns *os.File, endpoints []Endpoint) error { return nil }

// Unplug takes links down that may be gone already, and forgets the connections over them. The places stay the holder's.
func (n *Networks) Unplug(ctx context.Context, endpoints []Endpoint) error { return nil }

// Publish publishes ports of a place, all or none, and answers those that it took. A holder's ports stay until
// [Networks.Unpublish].
func (n *Networks) Publish(ctx context.Context, holder string, to Endpoint, ports []Port) ([]Bound, error) {
	return nil, nil
}

// Unpublish ends all that a holder publishes, with the connections over it.
func (n *Networks) Unpublish(ctx context.Context, holder string) error { return nil }

// Gateways answers the addresses of all networks that are up: where a resolver listens.
func (n *Networks) Gateways() []netip.Addr { return nil }

// SetResolver has port 53 of the gateways lead to another port of theirs; 0 ends that.
func (n *Networks) SetResolver(ctx context.Context, port uint16) error { return nil }
