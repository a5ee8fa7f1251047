package resolver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Resolver answers containers' questions for names.
type Resolver struct {
	log     *slog.Logger
	names   *directory
	conf    *hostConf
	port    uint16
	servers forwarder
	busy    busy

	ctx    context.Context //nolint:containedctx // the resolver's own life, in which questions are answered
	cancel context.CancelFunc

	gate      sync.Mutex // held while listeners come and go
	listeners map[netip.Addr]*listener
	at        uint16                 // the port of all of them
	inherited map[netip.Addr]sockets // of an earlier process, until the first Listen
	lender    Lender
	closed    bool
}

// Options says how a resolver finds its way.
type Options struct {
	Conf   string // the host's resolv.conf; /etc/resolv.conf if empty
	Port   uint16 // where the servers named there listen; 53 if 0
	Logger *slog.Logger
	// Lender has the sockets outlive this process; nil if nobody does. Lent are those that an earlier one has left there, with
	// descriptors that become the resolver's: questions may be waiting in them, so that who asks is to be known by Put first.
	Lender Lender
	Lent   map[string]int
}

// Network is a network of hull's.
type Network struct {
	Name     string
	Prefixes []netip.Prefix // its addresses; questions for their names never leave the machine
	Gateways []netip.Addr   // the host's own of them, to listen on: one, or one of each family
}

// ErrClosed says that the resolver has been closed.
var ErrClosed = errors.New("the resolver is closed")

// New makes a resolver that lives until Close, or until the context ends.
func New(ctx context.Context, o Options) *Resolver {
	if o.Conf == "" {
		o.Conf = "/etc/resolv.conf"
	}
	if o.Port == 0 {
		o.Port = 53
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Resolver{
		log: o.Logger, names: newDirectory(), conf: &hostConf{path: o.Conf, log: o.Logger}, port: o.Port,
		servers: forwarder{log: o.Logger, patience: patience, budget: budget}, listeners: map[netip.Addr]*listener{},
		lender: o.Lender, inherited: inherit(o.Lent),
	}
	r.ctx, r.cancel = context.WithCancel(ctx)
	return r
}

// Listen answers on these networks and on no others, from now on, and returns the port on which: the same on all of their
// gateways, UDP and TCP. It stays the same as long as nobody else has it on a gateway that comes anew. The addresses need
// not be there yet. An error tells on which gateways there will be no answers; on the others there are.
func (r *Resolver) Listen(networks []Network) (uint16, error) {
	r.gate.Lock()
	defer r.gate.Unlock()
	if r.closed {
		return 0, ErrClosed
	}
	r.names.setNetworks(networks)
	wanted := map[netip.Addr]string{}
	for _, n := range networks {
		for _, addr := range n.Gateways {
			wanted[addr] = n.Name
		}
	}
	for addr, l := range r.listeners {
		if wanted[addr] != l.network {
			l.close()
			r.over(addr)
			delete(r.listeners, addr)
		}
	}
	defer r.disinherit()
	for try := 0; ; try++ {
		// A port that the kernel finds free on one address may be taken on another: the next may not be.
		err := r.bindMissing(wanted)
		if !errors.Is(err, unix.EADDRINUSE) || try == 20 {
			return r.at, err
		}
		r.closeAll()
	}
}

// bindMissing listens on the gateways that are not listened on yet. A taken port is an error at once.
func (r *Resolver) bindMissing(wanted map[netip.Addr]string) error {
	var troubles []error
	for _, addr := range slices.SortedFunc(maps.Keys(wanted), netip.Addr.Compare) {
		if r.listeners[addr] != nil {
			continue
		}
		s, port, err := r.open(addr)
		if err != nil {
			err = fmt.Errorf("network %s: names cannot be answered on %s: %w", wanted[addr], addr, err)
			if errors.Is(err, unix.EADDRINUSE) {
				return err
			}
			troubles = append(troubles, err)
			continue
		}
		r.at = port
		r.listeners[addr] = r.serve(wanted[addr], s)
	}
	return errors.Join(troubles...)
}

func (r *Resolver) closeAll() {
	for _, l := range r.listeners {
		l.close()
	}
	clear(r.listeners)
	r.at = 0
}

// Put makes a container known, or changes what is known of it. Its networks need not be listened on.
func (r *Resolver) Put(h Host) { r.names.put(h) }

// Drop makes a container unknown.
func (r *Resolver) Drop(id string) { r.names.drop(id) }

// HostConf is what the host's resolv.conf says now, for the search domains of containers' own.
func (r *Resolver) HostConf() Conf { return r.conf.now() }

// Close ends everything, and returns when nothing is under way any more.
func (r *Resolver) Close() {
	r.cancel()
	r.gate.Lock()
	defer r.gate.Unlock()
	r.closed = true
	for addr := range r.listeners {
		r.over(addr)
	}
	r.closeAll()
	r.disinherit()
}
