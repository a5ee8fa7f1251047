package layers

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"

	"hull/layers/registry"
)

// part is one layer of an image that is being pulled.
type part struct {
	index int
	layer registry.Layer
	chain string // the chain ID up to and with this layer
	lower []*part

	had atomic.Bool               // the store had it: it counts for nothing in the pull's bytes
	at  atomic.Pointer[unpacking] // what is under way for it

	// Valid once ready is closed.
	ready chan struct{}
	key   string
	from  *unpacking // that made it, to be given back when the pull ends; nil = the store had it

	mu       sync.Mutex
	returned bool // the pull has ended: nothing is lent any more
}

// loan is the tree of a layer, lent to the unpacking of one above it. That may be
// shared and outlive the pull that began it, so it holds what it looks into itself.
type loan struct {
	tree   *os.File
	giveUp func()
}

// errWaits says that a layer below is not ready, and that it was not to be waited for.
var errWaits = errors.New("a layer below is not here yet")

// lender lends the trees of the layers below, highest first, once they are ready;
// without wait, which has to be so for who holds memory, errWaits is its error until
// then. It gives up with the pull that the part belongs to.
func (s *Store) lender(pullCtx context.Context, pt *part) func(ctx context.Context, wait bool) ([]loan, error) {
	return func(ctx context.Context, wait bool) ([]loan, error) {
		loans := make([]loan, 0, len(pt.lower))
		for i := len(pt.lower) - 1; i >= 0; i-- {
			if !wait && !isClosed(pt.lower[i].ready) {
				return loans, errWaits
			}
			select {
			case <-pt.lower[i].ready:
			case <-pullCtx.Done():
				return loans, pullCtx.Err()
			case <-ctx.Done():
				return loans, ctx.Err()
			}
			l, err := s.lend(pt.lower[i])
			if err != nil {
				return loans, err
			}
			loans = append(loans, l)
		}
		return loans, nil
	}
}

// lend lends the tree of a layer that is ready. What is in staging/ stays there as
// long as it is lent; what the store had is kept by the pins of every pull that
// waits for the borrower, since its layers below are the same.
func (s *Store) lend(pt *part) (loan, error) {
	pt.mu.Lock()
	defer pt.mu.Unlock()
	switch {
	case pt.returned:
		return loan{}, context.Canceled
	case pt.from == nil:
		tree, err := openTree(s.path("layers", layerName(pt.key), "diff"))
		return loan{tree, func() { _ = tree.Close() }}, err
	}
	from := pt.from
	s.mu.Lock()
	from.refs++
	s.mu.Unlock()
	return loan{from.tree, func() { s.releaseUnpacking(from) }}, nil
}

// makeParts begins an image's parts. Both keys that each layer can have are kept
// for the pull before any is here: another pull that unpacks it too may commit it,
// and lose its image, before this one comes to look.
func (s *Store) makeParts(p *pull, image *registry.Image) []*part {
	chains := chainIDs(image.Layers)
	parts := make([]*part, len(image.Layers))
	for i, l := range image.Layers {
		parts[i] = &part{index: i, layer: l, chain: chains[i], lower: parts[:i:i], ready: make(chan struct{})}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, pt := range parts {
		p.pins[pt.layer.DiffID], p.pins[pt.chain] = true, true
	}
	return parts
}

// bring makes sure that one layer is in the store or in staging/. It begins to
// fetch and unpack when turn is closed (nil = at once).
func (s *Store) bring(ctx context.Context, p *pull, pt *part, turn <-chan struct{}) error {
	short := shortDigest(pt.layer.Digest)
	if pt.had.Load() {
		return nil
	}
	if turn != nil {
		select {
		case <-turn:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	key := pt.layer.DiffID
	for {
		//nolint:contextcheck // it is shared, and may outlive this pull
		u, started, err := s.wantLayer(p, key, pt.chain, pt.layer, s.lender(ctx, pt))
		if err != nil {
			return err
		}
		pt.at.Store(u)
		leave := u.phases.watch(func(phase string) { p.progress.phase(short, phase) })
		err = u.wait(ctx, pt.chain)
		leave()
		if err != nil {
			s.releaseUnpacking(u)
			if !errors.Is(err, errOtherChain) {
				return err
			}
			key = pt.chain
			continue
		}
		switch {
		case u.err == nil && u.record.fits(pt.layer.DiffID, pt.chain):
			pt.from, pt.key = u, u.record.key()
			p.progress.line("%s: Pull complete", short)
			return nil
		case u.err == nil: // the same layer, but made for another stack of layers
			key = pt.chain
		case started || ctx.Err() != nil:
			s.releaseUnpacking(u)
			return u.err
		}
		// Somebody else's attempt failed, with another registry or other
		// credentials perhaps: now it is this pull's turn.
		s.releaseUnpacking(u)
		if s.had(pt) {
			return nil
		}
	}
}

// errOtherChain says that an unpacking is of use only on another chain.
var errOtherChain = errors.New("the layer takes from others below it")

// wait waits for the unpacking's end, or until it is of no use for a chain.
func (u *unpacking) wait(ctx context.Context, chain string) error {
	bound := u.bound
	if u.chain == chain {
		bound = nil
	}
	select {
	case <-u.done:
		return nil
	case <-bound:
		return errOtherChain
	case <-ctx.Done():
		return ctx.Err()
	}
}

// had looks for a committed layer.
func (s *Store) had(pt *part) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.committed(pt.layer.DiffID, pt.chain)
	if l != nil {
		pt.key = l.key()
	}
	return l != nil
}

// releaseParts gives back what a pull has used, after its commit or failure.
func (s *Store) releaseParts(parts []*part) {
	for _, pt := range parts {
		pt.mu.Lock()
		pt.returned = true
		pt.mu.Unlock()
		if pt.from != nil {
			s.releaseUnpacking(pt.from)
		}
	}
}
