package layers

import (
	"context"
	"io"
	"os"

	"hull/layers/archive"
	"hull/layers/internal/sys"
	"hull/layers/reference"
	"hull/layers/registry"
)

// Save writes images as an archive that is a docker save and an OCI layout in one,
// byte for byte as they were fetched: what is loaded of it has the same digests. A
// name that is a reference is written into it, an ID gives an image without one.
// Compressed layers that are not here are fetched again first, with the credentials
// of k (nil = the store's). The stream of an archive that failed has no end.
func (s *Store) Save(ctx context.Context, w io.Writer, names []string, k registry.Keychain) error {
	if len(names) == 0 {
		return failf("save", "", Invalid, "it is not said which images")
	}
	p := s.arrive(ctx, "save", names[0], 0, s.clientOf(k))
	defer s.depart(p)
	var list []archive.Saved
	for _, name := range names {
		saved, err := s.saved(p, name)
		if err != nil {
			return wrap("save", name, err)
		}
		list = append(list, saved)
	}
	return wrap("save", names[0], archive.Save(ctx, w, list, (*source)(s)))
}

// saved collects what an archive says of an image, and makes sure of its layers.
func (s *Store) saved(p *pull, name string) (archive.Saved, error) {
	st, err := s.findStored("save", name)
	if err != nil {
		return archive.Saved{}, err
	}
	s.mu.Lock()
	p.keep(st)
	s.mu.Unlock()
	out := archive.Saved{MediaType: st.MediaType}
	if out.Manifest, err = s.readBlob(name, st.Manifest); err != nil {
		return out, err
	}
	if out.Config, err = s.readBlob(name, st.ID); err != nil {
		return out, err
	}
	if exact, isTag := s.snapshot.Load().exact(name); isTag {
		ref, err := parse("save", exact)
		if err != nil {
			return out, err
		}
		if ref.Digest == "" { // a digest is no name that an archive could give
			out.References = []reference.Reference{ref}
		}
	}
	return out, s.bringBlobs(p.ctx, p, st)
}

// source gives an archive the store's blobs.
type source Store

// Blob opens a blob of the store.
func (s *source) Blob(_ context.Context, digest string) (io.ReadCloser, error) {
	return sys.OpenRegular((*Store)(s).blobPath(digest))
}

// Ender is the reader of an archive that wants to know when its end mark was read.
type Ender interface{ Ended() }

// Load takes the images of an archive into the store, and returns their names:
// familiar references, or IDs of those without any. Names that exist move to the
// archive's images. When it fails half way, what it returns is here nevertheless. r
// has to give up when ctx ends; if it is an Ender, it is told when nothing but padding
// can follow.
func (s *Store) Load(ctx context.Context, r io.Reader, by uint32) (names []string, err error) {
	if err := s.room("load", "", 0); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(s.path("staging"), "load-")
	if err != nil {
		return nil, wrap("load", "", err)
	}
	defer s.discard(dir)
	o := archive.LoadOptions{
		Dir: dir, Platform: s.o.Platform, Room: func(more int64) error { return s.room("load", "", more) },
	}
	if e, ok := r.(Ender); ok {
		o.Ended = e.Ended
	}
	images, err := archive.Load(ctx, r, o)
	if err != nil {
		return nil, wrap("load", "", err)
	}
	for _, im := range images {
		here, err := s.loadImage(ctx, im, by)
		if err != nil {
			return names, err
		}
		names = append(names, here...)
	}
	return names, nil
}

func (s *Store) loadImage(ctx context.Context, im *archive.Image, by uint32) (names []string, err error) {
	for _, ref := range im.References {
		names = append(names, ref.Familiar())
	}
	if len(names) == 0 {
		names = []string{im.ConfigDigest}
	}
	image := &registry.Image{
		Digest: im.Digest, ManifestDigest: im.ManifestDigest, MediaType: im.MediaType, Manifest: im.Manifest,
		ConfigDigest: im.ConfigDigest, Config: im.Config, Platform: im.Platform,
	}
	p := s.arrive(ctx, "load", names[0], by, s.client)
	defer s.leave(ctx, p)
	p.files = make(map[string]string, len(im.Layers))
	for _, l := range im.Layers {
		p.files[l.Digest] = l.Path
		image.Layers = append(image.Layers, registry.Layer{Digest: l.Digest, MediaType: l.MediaType, Size: l.Size, DiffID: l.DiffID})
	}
	if err := s.land(p, image, im.References, nil); err != nil { //nolint:contextcheck // accepted work runs in the daemon's context
		return nil, wrap("load", names[0], err)
	}
	for _, name := range names {
		s.events.add(Event{Action: ActionLoaded, Reference: name, ID: im.ConfigDigest, By: by})
	}
	return names, nil
}

// leave ends an arrival and drops what it brought and nobody needs.
func (s *Store) leave(ctx context.Context, p *pull) {
	s.depart(p)
	if s.lockChange(context.WithoutCancel(ctx)) != nil {
		return // the store is being closed: the next Sweep does it
	}
	defer s.unlockChange()
	s.collect(p.by)
}
