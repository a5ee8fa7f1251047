package layers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"time"

	"hull/layers/reference"
	"hull/layers/registry"
	"hull/layers/unpack"
)

// land takes an image into the store whose blobs are on its disk already (p.files,
// verified): one of an archive, or one just committed. It unpacks what layers are
// missing and then goes the way of a pull's commit. The references come to point to
// it; without any it is kept by its ID. base is what is known of its lower layers.
func (s *Store) land(p *pull, image *registry.Image, refs []reference.Reference, base *stored) error {
	st, err := describe(p.op, p.name, image)
	if err != nil {
		return err
	}
	if base != nil {
		for i := range base.Layers {
			st.Layers[i].Sources = base.Layers[i].Sources
		}
	}
	// Opened before the first write, so that its syncfs reports every failed one.
	disk, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer func() { _ = disk.Close() }() // it was only synced
	s.mu.Lock()
	p.keep(st)
	s.mu.Unlock()
	parts := s.makeParts(p, image)
	defer s.releaseParts(parts)
	p.parts.Store(&parts)
	if err := s.bringParts(p, parts); err != nil {
		return err
	}
	documents, err := s.harden(p, image, parts, disk)
	defer s.dropDocuments(documents)
	if err != nil {
		return err
	}
	return s.landed(p, image, st, parts, documents, refs)
}

// landed puts everything in its place, and writes the records last.
func (s *Store) landed(p *pull, image *registry.Image, st *stored, parts []*part, documents map[string]string, refs []reference.Reference) error {
	if err := s.lockChange(p.ctx); err != nil {
		return err
	}
	defer s.unlockChange()
	st, err := s.settle(p, st, parts, documents)
	if err != nil {
		return err
	}
	private := p.privacy
	if !private.Private {
		private = s.privacyOf(st.ID)
	}
	for _, ref := range refs {
		if err := s.point(ref, st, origin{Digest: image.Digest}, true, p.by, private); err != nil {
			return err
		}
	}
	if len(refs) == 0 {
		return s.keepUntagged(st, origin{Digest: image.Digest}, p.by, private)
	}
	return nil
}

// keepUntagged puts an image on record that has no reference, if it is new. The
// caller holds the change lock.
func (s *Store) keepUntagged(st *stored, from origin, by uint32, private privacy) error {
	s.mu.Lock()
	old, tagged := s.names[st.ID], len(s.tagsOf(st.ID)) > 0
	s.mu.Unlock()
	if tagged || (old != nil && old.Kept) {
		return nil
	}
	r := &record{name: st.ID, Status: Ready, By: by, Made: time.Now().Round(0), origin: from, Image: st, Kept: true, privacy: private}
	if err := s.writeRecord(r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names[st.ID] = r
	s.images[st.ID] = st
	s.publish()
	return nil
}

// addFiles adds an arrival's own blobs to what is to be placed. Those that no layer
// was unpacked from, as the store had it, are read to make sure that they are what
// the image's config says of them: they may be pushed or saved one day.
func (s *Store) addFiles(p *pull, parts []*part, documents map[string]string) error {
	for _, pt := range parts {
		path := p.files[pt.layer.Digest]
		if path == "" || s.hasBlob(pt.layer.Digest) {
			continue
		}
		if pt.from == nil || pt.from.layer.Digest != pt.layer.Digest {
			if err := s.verify(p, pt.layer, path); err != nil {
				return err
			}
		}
		documents[pt.layer.Digest] = path
	}
	return nil
}

// verify demands that a compressed layer has the diff ID it should.
func (s *Store) verify(p *pull, l registry.Layer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	diff, err := s.diffOf(p.ctx, f)
	if err != nil {
		return err
	}
	if diff != l.DiffID {
		return failf(p.op, p.name, Corrupt, "its layer %s unpacks to %s, but its config says %s", shortDigest(l.Digest), diff, l.DiffID)
	}
	return nil
}

// diffOf is the digest of a blob's content.
func (s *Store) diffOf(ctx context.Context, blob *os.File) (string, error) {
	diff, err := s.diffWithin(ctx, blob, &claim{m: s.memory})
	if errors.Is(err, unpack.ErrWindow) {
		return s.diffWithin(ctx, blob, &claim{m: s.memory, wide: true})
	}
	return diff, err
}

func (s *Store) diffWithin(ctx context.Context, blob *os.File, c *claim) (string, error) {
	if _, err := blob.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	tar, err := decode(ctx, &stoppable{ctx, blob}, c)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, tar)
	if e := tar.Close(); err == nil {
		err = e
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), err
}

// stoppable is a reader that ends with a context.
type stoppable struct {
	ctx context.Context //nolint:containedctx // it lives for one call
	r   io.Reader
}

func (r *stoppable) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}
