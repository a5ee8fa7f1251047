package layers

import (
	"context"
	"errors"
	"slices"

	"hull/layers/reference"
	"hull/layers/registry"
)

// arrive begins an arrival that is no pull: an archive, a container's changes, or
// blobs that are fetched again. What it wants and pins stays as long as it is
// there. It lives in ctx and ends with depart, or with leave if it brought something.
func (s *Store) arrive(ctx context.Context, op, name string, by uint32, client *registry.Client) *pull {
	p := &pull{
		op: op, name: name, by: by, client: client, status: Pulling,
		progress: newProgress(), slots: make(chan struct{}, s.o.Downloads), pins: map[string]bool{},
	}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrivals[p] = struct{}{}
	return p
}

// depart ends an arrival. What only it kept is left to the next collect.
func (s *Store) depart(p *pull) {
	p.cancel(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.arrivals, p)
}

// keep pins what an image has for an arrival. The caller holds mu.
func (p *pull) keep(st *stored) {
	p.wanted = append(p.wanted, st.ID, st.Manifest)
	for _, l := range st.Layers {
		p.wanted = append(p.wanted, l.Blob)
		p.pins[l.Key] = true
	}
}

// clientOf is the client for somebody's credentials; nil = the store's.
func (s *Store) clientOf(k registry.Keychain) *registry.Client {
	if k == nil {
		return s.client
	}
	return s.client.With(k)
}

// blobs is the client that blobs are fetched by.
func (p *pull) blobs() *registry.Client {
	if p.direct.Load() {
		return p.client.Direct()
	}
	return p.client
}

// bringBlobs fetches again which of an image's compressed layers are not here: one
// that the store had already when the image was pulled was never fetched, and its
// blob may be another than the one that it was unpacked from.
func (s *Store) bringBlobs(ctx context.Context, p *pull, st *stored) error {
	for _, l := range st.Layers {
		if err := s.bringBlob(ctx, p, l); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) bringBlob(ctx context.Context, p *pull, l storedLayer) error {
	sources := s.sourcesOf(l.Blob)
	err := error(failf(p.op, p.name, NotFound,
		"its layer %s is not here in compressed form, and it is not known from where it could be fetched; pull the image again", shortDigest(l.Blob)))
	for _, source := range sources {
		if s.hasBlob(l.Blob) {
			return nil
		}
		if err = s.fetchAgain(ctx, p, l, source); err == nil || ctx.Err() != nil {
			return err
		}
		s.log.Warn("a layer could not be fetched again", "image", p.name, "blob", l.Blob, "from", source, "err", err)
	}
	if s.hasBlob(l.Blob) {
		return nil
	}
	return err
}

func (s *Store) hasBlob(digest string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, have := s.blobs[digest]
	return have
}

// fetchAgain brings one blob from a repository into blobs/.
func (s *Store) fetchAgain(ctx context.Context, p *pull, l storedLayer, source string) error {
	ref, err := parse(p.op, source)
	if err != nil {
		return err
	}
	from := s.arrive(ctx, p.op, p.name, p.by, p.client)
	from.ref, from.wanted = ref, []string{l.Blob}
	defer s.depart(from)
	if err := s.room(p.op, p.name, l.BlobSize); err != nil {
		return err
	}
	again := true
	for {
		f, err := s.wantBlob(from, registry.Layer{Digest: l.Blob, MediaType: l.MediaType, Size: l.BlobSize, DiffID: l.DiffID}) //nolint:contextcheck // accepted work runs in the daemon's context
		if err != nil {
			return wrap(p.op, p.name, err)
		}
		select {
		case <-f.done:
			err = f.err
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err == nil {
			err = s.placeFetched(ctx, f)
		}
		resumed := f.resumed
		s.releaseFetch(f)
		if again && resumed && KindOf(err) == Corrupt {
			again = false // the damage was in what an earlier attempt had left
			continue
		}
		if err != nil {
			return &Error{Op: p.op, Name: p.name, Kind: KindOf(err), Err: err}
		}
		return nil
	}
}

// placeFetched makes a verified blob durable and puts it in its place.
func (s *Store) placeFetched(ctx context.Context, f *fetch) error {
	if err := f.file.Sync(); err != nil {
		return err
	}
	if err := s.lockChange(ctx); err != nil {
		return err
	}
	defer s.unlockChange()
	if s.hasBlob(f.layer.Digest) {
		return nil
	}
	path, err := s.ingestPath(f.layer.Digest)
	if err != nil {
		return err
	}
	if err := s.placeBlob(f.layer.Digest, path); err != nil {
		return err
	}
	return s.syncDir("blobs/sha256")
}

// maxSources is how many repositories are remembered of a layer.
const maxSources = 8

// sourcesOf are the repositories that are known to have a blob, in any image's
// record.
func (s *Store) sourcesOf(blob string) []string {
	var all []string
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.described() {
		for _, l := range st.Layers {
			if l.Blob != blob {
				continue
			}
			for _, source := range l.Sources {
				if !slices.Contains(all, source) {
					all = append(all, source)
				}
			}
		}
	}
	slices.Sort(all)
	return all
}

// from are the repositories of one registry that may have a blob, as a push names
// them: "library/redis".
func (s *Store) from(domain, blob string) []string {
	var paths []string
	for _, source := range s.sourcesOf(blob) {
		if ref, err := reference.Parse(source); err == nil && ref.Domain == domain {
			paths = append(paths, ref.Path)
		}
	}
	return paths
}

// sourced returns a copy of the image's description that knows one more repository
// of its layers, and those that another description of it knows.
func (im *stored) sourced(ref reference.Reference, other *stored) *stored {
	copied := *im
	copied.Layers = slices.Clone(im.Layers)
	for i := range copied.Layers {
		l := &copied.Layers[i]
		known := slices.Clone(l.Sources)
		if other != nil && len(other.Layers) == len(copied.Layers) && other.Layers[i].Blob == l.Blob {
			known = append(known, other.Layers[i].Sources...)
		}
		if ref.Path != "" {
			known = append(known, ref.Domain+"/"+ref.Path)
		}
		slices.Sort(known)
		known = slices.Compact(known)
		l.Sources = known[:min(len(known), maxSources)]
	}
	return &copied
}

// cause says how an arrival's failure is told: its cancellation has a cause.
func (p *pull) cause(err error, cancelled string) error {
	cause := context.Cause(p.ctx)
	if cause == nil || KindOf(err) != Cancelled {
		return wrap(p.op, p.name, err)
	}
	if errors.Is(cause, context.Canceled) {
		return failf(p.op, p.name, Cancelled, "%s", cancelled)
	}
	return &Error{Op: p.op, Name: p.name, Kind: Cancelled, Err: cause}
}
