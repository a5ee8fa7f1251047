package layers

import (
	"context"
	"errors"
	"os"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"hull/layers/registry"
	"hull/layers/union"
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

// bytes is how much of the pull has come, compressed, and how much it is.
func (p *pull) bytes() (done, total int64) {
	parts := p.parts.Load()
	if parts == nil {
		return 0, 0
	}
	for _, pt := range *parts {
		if pt.had.Load() {
			continue
		}
		total += pt.layer.Size
		select {
		case <-pt.ready:
			done += pt.layer.Size
			continue
		default:
		}
		if u := pt.at.Load(); u != nil {
			if f := u.fetch.Load(); f != nil {
				done += f.progress()
			}
		}
	}
	return done, total
}

// doPull resolves the reference, brings the layers, and commits.
func (s *Store) doPull(p *pull) error {
	image, err := p.client.Resolve(p.ctx, p.ref)
	if err != nil {
		return err
	}
	st, err := describe(p.name, image)
	if err != nil {
		return err
	}
	if err := s.accept(p.ctx, p); err != nil {
		return err
	}
	p.once.Do(func() { close(p.resolved) })
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
	s.beginLayers(p, image)
	version := p.ref.Tag
	if version == "" {
		version = p.ref.Digest
	}
	p.progress.line("%s: Pulling from %s", version, p.ref.Path)
	if s.upToDate(p, st) {
		return s.commit(p, image, st, nil, nil, "Image is up to date")
	}
	// Opened before the first write, so that its syncfs reports every failed one.
	disk, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer func() { _ = disk.Close() }() // it was only synced
	parts := makeParts(image)
	defer s.releaseParts(parts)
	p.parts.Store(&parts)
	if err := s.roomFor(p, image); err != nil {
		return err
	}
	if err := s.bringParts(p, parts); err != nil {
		return err
	}
	return s.commit(p, image, st, parts, disk, "Downloaded newer image")
}

// beginLayers turns a pull from waiting to pulling.
func (s *Store) beginLayers(p *pull, image *registry.Image) {
	wanted := make([]string, 0, len(image.Layers)+2)
	wanted = append(wanted, image.ManifestDigest, image.ConfigDigest)
	for _, l := range image.Layers {
		wanted = append(wanted, l.Digest)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.status, p.wanted = Pulling, wanted
	s.publish()
}

// describe makes the record's part of what the registry says, and refuses what
// could not be run or recorded.
func describe(name string, image *registry.Image) (*stored, error) {
	config, err := parseConfig(image.Config)
	if err != nil {
		return nil, failf("pull", name, Corrupt, "its config is not what an image has: %w", err)
	}
	st := &stored{
		ID: image.ConfigDigest, Manifest: image.ManifestDigest, MediaType: image.MediaType,
		Platform: image.Platform, Created: config.Created.Time,
	}
	for _, l := range image.Layers {
		st.Layers = append(st.Layers, storedLayer{
			Blob: l.Digest, MediaType: l.MediaType, BlobSize: l.Size, DiffID: l.DiffID, Key: l.DiffID,
		})
	}
	if err := st.check(); err != nil {
		return nil, failf("pull", name, Corrupt, "%w", err)
	}
	if n := len(st.stack()); n > union.MaxLayers {
		return nil, failf("pull", name, TooLarge, "it has %d layers, and the kernel puts no more than %d together", n, union.MaxLayers)
	}
	return st, nil
}

// upToDate says whether the reference points to this very image already.
func (s *Store) upToDate(p *pull, st *stored) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.names[p.name]
	if r == nil || r.Image == nil || r.Image.ID != st.ID || r.Image.Manifest != st.Manifest {
		return false
	}
	st.Layers = r.Image.Layers // with their keys
	return true
}

func makeParts(image *registry.Image) []*part {
	chains := chainIDs(image.Layers)
	parts := make([]*part, len(image.Layers))
	for i, l := range image.Layers {
		parts[i] = &part{index: i, layer: l, chain: chains[i], lower: parts[:i:i], ready: make(chan struct{})}
	}
	return parts
}

// roomFor fails early if what is still to come can not fit.
func (s *Store) roomFor(p *pull, image *registry.Image) error {
	var need int64
	for _, l := range image.Layers {
		path, err := s.ingestPath(l.Digest)
		if err != nil {
			return err
		}
		s.mu.Lock()
		_, have := s.blobs[l.Digest]
		have = have || s.layers[l.DiffID] != nil
		s.mu.Unlock()
		if have {
			continue
		}
		need += l.Size
		if info, err := os.Stat(path); err == nil {
			need -= min(info.Size(), l.Size)
		}
	}
	return s.room("pull", p.name, need)
}

// bringParts brings all layers at once. The first failure ends the others.
func (s *Store) bringParts(p *pull, parts []*part) error {
	group, ctx := errgroup.WithContext(p.ctx)
	for _, pt := range parts {
		group.Go(func() error {
			if err := s.bring(ctx, p, pt); err != nil {
				return err
			}
			close(pt.ready)
			return nil
		})
	}
	return group.Wait()
}

// bring makes sure that one layer is in the store or in staging/.
func (s *Store) bring(ctx context.Context, p *pull, pt *part) error {
	short := shortDigest(pt.layer.Digest)
	if had, err := s.pinHad(p, pt); had || err != nil {
		if had {
			pt.had.Store(true)
			p.progress.line("%s: Already exists", short)
		}
		return err
	}
	p.progress.line("%s: Pulling fs layer", short)
	key := pt.layer.DiffID
	for {
		u, started, err := s.wantLayer(p, key, pt.chain, pt.layer, pt.below(ctx))
		if err != nil {
			return err
		}
		pt.at.Store(u)
		u.phases.watch(func(phase string) { p.progress.line("%s: %s", short, phase) })
		if err := u.wait(ctx, pt.chain); err != nil {
			s.releaseUnpacking(u)
			if !errors.Is(err, errOtherChain) {
				return err
			}
			key = pt.chain
			continue
		}
		switch {
		case u.err == nil && u.record.fits(pt.layer.DiffID, pt.chain):
			s.pin(p, u.record.key())
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

// pinHad looks for a committed layer and keeps it for the pull.
func (s *Store) pinHad(p *pull, pt *part) (bool, error) {
	s.mu.Lock()
	l := s.committed(pt.layer.DiffID, pt.chain)
	if l != nil {
		pt.key = l.key()
		p.pins[pt.key] = true
	}
	s.mu.Unlock()
	if l == nil {
		return false, nil
	}
	tree, err := openTree(s.path("layers", layerName(pt.key), "diff"))
	pt.opened = tree
	return err == nil, err
}

func (s *Store) pin(p *pull, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.pins[key] = true
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
