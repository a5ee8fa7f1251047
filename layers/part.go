package layers

import (
	"context"
	"errors"
	"os"
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
	ready  chan struct{}
	key    string
	opened *os.File   // the tree of a layer the store had
	from   *unpacking // that made it, to be given back when the pull ends
}

// tree is where the layers above may look things up.
func (pt *part) tree() *os.File {
	if pt.opened != nil {
		return pt.opened
	}
	return pt.from.tree
}

// below waits for the layers below and returns their trees, highest first. It
// gives up with the pull the part belongs to.
func (pt *part) below(pullCtx context.Context) func(context.Context) ([]*os.File, error) {
	return func(ctx context.Context) ([]*os.File, error) {
		trees := make([]*os.File, 0, len(pt.lower))
		for i := len(pt.lower) - 1; i >= 0; i-- {
			select {
			case <-pt.lower[i].ready:
				trees = append(trees, pt.lower[i].tree())
			case <-pullCtx.Done():
				return nil, pullCtx.Err()
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return trees, nil
	}
}

func makeParts(image *registry.Image) []*part {
	chains := chainIDs(image.Layers)
	parts := make([]*part, len(image.Layers))
	for i, l := range image.Layers {
		parts[i] = &part{index: i, layer: l, chain: chains[i], lower: parts[:i:i], ready: make(chan struct{})}
	}
	return parts
}

// bring makes sure that one layer is in the store or in staging/. It begins to
// fetch and unpack when turn is closed (nil = at once).
func (s *Store) bring(ctx context.Context, p *pull, pt *part, turn <-chan struct{}) error {
	short := shortDigest(pt.layer.Digest)
	if had, err := s.pinHad(p, pt); had || err != nil {
		if had {
			pt.had.Store(true)
			p.progress.line("%s: Already exists", short)
		}
		return err
	}
	p.progress.line("%s: Pulling fs layer", short)
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
		u, started, err := s.wantLayer(p, key, pt.chain, pt.layer, pt.below(ctx))
		if err != nil {
			return err
		}
		pt.at.Store(u)
		leave := u.phases.watch(func(phase string) { p.progress.line("%s: %s", short, phase) })
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
		if had, err := s.pinHad(p, pt); had || err != nil {
			return err
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

// pinHad looks for a committed layer, and keeps it for the pull. Both keys that
// the layer can have are kept before it is here: another pull that unpacks it too
// may commit it, and lose its image, before this one comes to look.
func (s *Store) pinHad(p *pull, pt *part) (bool, error) {
	s.mu.Lock()
	p.pins[pt.layer.DiffID], p.pins[pt.chain] = true, true
	l := s.committed(pt.layer.DiffID, pt.chain)
	if l != nil {
		pt.key = l.key()
	}
	s.mu.Unlock()
	if l == nil {
		return false, nil
	}
	tree, err := openTree(s.path("layers", layerName(pt.key), "diff"))
	pt.opened = tree
	return err == nil, err
}

// releaseParts gives back what a pull has used, after its commit or failure.
func (s *Store) releaseParts(parts []*part) {
	for _, pt := range parts {
		if pt.from != nil {
			s.releaseUnpacking(pt.from)
		}
		if pt.opened != nil {
			_ = pt.opened.Close() // only a place in a tree
		}
	}
}
