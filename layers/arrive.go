package layers

import (
	"errors"
	"os"

	"golang.org/x/sync/errgroup"

	"hull/layers/registry"
	"hull/layers/union"
)

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

// transfers are the layers that are coming at this moment.
func (p *pull) transfers() []Transfer {
	parts := p.parts.Load()
	if parts == nil {
		return nil
	}
	var list []Transfer
	for _, pt := range *parts {
		u := pt.at.Load()
		if u == nil {
			continue
		}
		f := u.fetch.Load()
		if f == nil || isClosed(f.done) {
			continue
		}
		if done := f.progress(); done > 0 && done < f.layer.Size {
			list = append(list, Transfer{shortDigest(f.layer.Digest), downloading, done, f.layer.Size})
		}
	}
	return list
}

// doPull resolves the reference, brings the layers, and commits.
func (s *Store) doPull(p *pull) error {
	image, err := p.client.Telling(repeating(p.progress.say)).Resolve(p.ctx, p.ref)
	if err != nil {
		return err
	}
	st, err := describe(p.op, p.name, image)
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
		version = p.ref.String()
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
	parts := s.makeParts(p, image)
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
func describe(op, name string, image *registry.Image) (*stored, error) {
	config, err := parseConfig(image.Config)
	if errors.Is(err, errTooManyValues) {
		return nil, failf(op, name, TooLarge, "its config is not what an image has: %w", err)
	}
	if err != nil {
		return nil, failf(op, name, Corrupt, "its config is not what an image has: %w", err)
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
		return nil, failf(op, name, Corrupt, "%w", err)
	}
	if n := len(st.stack()); n > union.MaxLayers {
		return nil, failf(op, name, TooLarge, "it has %d layers, and the kernel puts no more than %d together", n, union.MaxLayers)
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

// unpacksAtOnce is how many layers of an image are unpacked at the same time. A layer follows the one so many places
// below it, and not whichever is done first, because the lowest unfinished one,
// for which the others may wait, must never wait itself.
const unpacksAtOnce = 8

// bringParts brings the layers side by side. The first failure ends the others.
func (s *Store) bringParts(p *pull, parts []*part) error {
	for _, pt := range parts {
		what := "Pulling fs layer"
		if s.had(pt) {
			pt.had.Store(true)
			what = "Already exists"
		}
		p.progress.phase(shortDigest(pt.layer.Digest), what)
	}
	group, ctx := errgroup.WithContext(p.ctx)
	for i, pt := range parts {
		var turn chan struct{}
		if i >= unpacksAtOnce {
			turn = parts[i-unpacksAtOnce].ready
		}
		group.Go(func() error {
			if err := s.bring(ctx, p, pt, turn); err != nil {
				return err
			}
			close(pt.ready)
			return nil
		})
	}
	return group.Wait()
}
