package layers

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
	"hull/layers/reference"
	"hull/layers/registry"
	"hull/layers/unpack"
)

// mendBlob fetches a damaged blob again. Until it is here the damaged one keeps its
// place. If it is not to be had any more that goes: a layer's is not needed here,
// and without its documents an image is given up later.
func (in *inspection) mendBlob(digest string) (how string, err error) {
	in.mu.Lock()
	size := in.blobs[digest]
	delete(in.blobs, digest) // so that it is fetched
	var owner *stored
	var l *storedLayer
	for _, st := range in.described() {
		if st.ID == digest || st.Manifest == digest {
			owner = st
		}
		for i := range st.Layers {
			if st.Layers[i].Blob == digest {
				l = &st.Layers[i]
			}
		}
	}
	in.mu.Unlock()
	switch {
	case l != nil:
		err = in.bringBlob(in.p.ctx, in.p, *l)
	case owner != nil:
		err = in.fetchDocuments(owner)
	default:
		return "removed, nothing needs it", in.removeBlob(digest)
	}
	switch {
	case err == nil:
		return "fetched again", nil
	case in.p.ctx.Err() != nil, mayPass(err):
		in.mu.Lock()
		in.blobs[digest] = size
		in.mu.Unlock()
		return "", errors.Join(in.p.ctx.Err(), err)
	}
	return "removed, for it is not to be had again: " + err.Error(), in.removeBlob(digest)
}

// mayPass says whether what failed now may succeed another time, so that nothing
// has to be given up over it.
func mayPass(err error) bool {
	switch KindOf(err) {
	case NotFound, Corrupt, Invalid, TooLarge, Platform:
		return false
	default:
		return true
	}
}

// removeBlob throws away a damaged blob that is not in the maps any more.
func (in *inspection) removeBlob(digest string) error {
	if err := in.lockChange(in.p.ctx); err != nil {
		return err
	}
	defer in.unlockChange()
	if !in.hasBlob(digest) { // or somebody has brought it meanwhile
		in.discard(in.blobPath(digest))
	}
	return nil
}

// fetchDocuments brings an image's manifest and config again, from wherever its
// references or its layers come.
func (in *inspection) fetchDocuments(st *stored) error {
	err := error(failf("repair", st.ID, NotFound, "it is not known where its manifest could be fetched"))
	for _, ref := range in.origins(st) {
		var image *registry.Image
		client := in.p.client
		if p, err := v1.ParsePlatform(st.Platform); err == nil {
			client = client.For(*p) // whatever it is for
		}
		image, err = client.Resolve(in.p.ctx, ref)
		if err == nil && (image.ManifestDigest != st.Manifest || image.ConfigDigest != st.ID) {
			err = failf("repair", st.ID, Corrupt, "%s is another image now", ref.Familiar())
		}
		if err == nil {
			return in.placeDocuments(image)
		}
	}
	return err
}

// origins are the image's manifest in each repository that may have it.
func (in *inspection) origins(st *stored) []reference.Reference {
	var all []reference.Reference
	seen := map[string]bool{}
	add := func(text string) {
		ref, err := reference.Parse(text)
		if err != nil || seen[ref.Domain+"/"+ref.Path] {
			return
		}
		seen[ref.Domain+"/"+ref.Path] = true
		all = append(all, ref.WithDigest(st.Manifest))
	}
	for _, l := range st.Layers {
		for _, source := range l.Sources {
			add(source)
		}
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for name, r := range in.names {
		if r.Reference != "" && r.all() != nil && r.all().ID == st.ID {
			add(name)
		}
	}
	return all
}

func (s *Store) placeDocuments(image *registry.Image) error {
	staged, err := s.stageDocuments(image)
	defer s.dropDocuments(staged)
	if err != nil {
		return err
	}
	for _, path := range staged {
		if err := syncFile(path); err != nil {
			return err
		}
	}
	if err := s.lockChange(s.ctx); err != nil {
		return err
	}
	defer s.unlockChange()
	return s.placeBlobs(nil, staged)
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	err = f.Sync()
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// freshLayer is a layer that was unpacked again, in staging/.
type freshLayer struct {
	record *layer
	dir    string
	tree   *os.File
}

// drop removes it unless it has taken its place. It does so at once, and not behind everybody's back: the next layer that
// is looked at needs its room.
func (f *freshLayer) drop(s *Store) {
	if f.tree != nil {
		_ = f.tree.Close() // only a place in a tree
	}
	staging, err := sys.OpenRoot(filepath.Dir(f.dir))
	if err == nil {
		err = errors.Join(sys.RemoveAll(s.ctx, staging, filepath.Base(f.dir)), staging.Close())
	}
	if err != nil {
		s.discard(f.dir)
	}
}

// unpackAgain unpacks an image's layer from its blob into staging/.
func (in *inspection) unpackAgain(st *stored, i int) (*freshLayer, error) {
	fresh, err := in.unpackWith(st, i, false)
	if errors.Is(err, unpack.ErrWindow) {
		return in.unpackWith(st, i, true)
	}
	return fresh, err
}

func (in *inspection) unpackWith(st *stored, i int, wide bool) (*freshLayer, error) {
	layers := make([]registry.Layer, 0, len(st.Layers))
	for _, l := range st.Layers {
		layers = append(layers, registry.Layer{Digest: l.Blob, MediaType: l.MediaType, Size: l.BlobSize, DiffID: l.DiffID})
	}
	u := &unpacking{layer: layers[i], chain: chainIDs(layers)[i], wide: wide, bound: make(chan struct{})}
	defer u.returnLoans()
	u.lender = func(context.Context, bool) (loans []loan, err error) {
		for j := i - 1; j >= 0; j-- {
			f, err := openTree(in.path("layers", layerName(st.Layers[j].Key), "diff"))
			if err != nil {
				return loans, err
			}
			loans = append(loans, loan{f, func() { _ = f.Close() }}) // only a place in a tree
		}
		return loans, nil
	}
	blob, err := sys.OpenRegular(in.blobPath(u.layer.Digest))
	if err != nil {
		return nil, err
	}
	defer func() { _ = blob.Close() }() // it was only read
	dir, tree, err := in.stage()
	fresh := &freshLayer{dir: dir, tree: tree}
	if err == nil {
		fresh.record, err = in.unpackInto(in.p.ctx, in.p, u, blob, tree)
	}
	if err == nil {
		err = writeLayerRecord(dir, fresh.record)
	}
	if err != nil {
		if dir != "" {
			fresh.drop(in.Store)
		}
		return nil, err
	}
	return fresh, nil
}

// replace puts a layer that was unpacked again in the place of the damaged one,
// which must not be below any container: its files go.
func (in *inspection) replace(key string, fresh *freshLayer) error {
	if fresh.record.key() != key {
		return failf("repair", key, Corrupt, "it unpacks to another layer now, %s", fresh.record.key())
	}
	disk, err := os.Open(in.dir)
	if err != nil {
		return err
	}
	err = sys.Syncfs(disk)
	_ = disk.Close() // it was only synced
	if err != nil {
		return err
	}
	if err := in.lockChange(in.p.ctx); err != nil {
		return err
	}
	defer in.unlockChange()
	if err := in.unused(key); err != nil {
		return err
	}
	if err := in.exchange(fresh.dir, in.path("layers", layerName(key))); err != nil {
		return err
	}
	in.crash("layer.replaced")
	made := in.layerMade(key)
	in.mu.Lock()
	fresh.record.made = made
	in.layers[key] = fresh.record
	in.mu.Unlock()
	return in.syncDir("layers")
}

// exchange puts a layer that was unpacked again in the place of another, which takes
// its: at no instant is there none.
func (s *Store) exchange(fresh, old string) error {
	staging, err := openTree(s.path("staging"))
	if err != nil {
		return err
	}
	defer func() { _ = staging.Close() }() // only a place in a tree
	err = sys.Exchange(staging, filepath.Base(fresh), s.layersDir, filepath.Base(old))
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS): // this file system cannot
		s.discard(old)
	case !errors.Is(err, unix.ENOENT): // there may be no old one
		return err
	}
	return os.Rename(fresh, old)
}

// unused demands that no container keeps an image with the layer, and takes such
// images' views away.
func (s *Store) unused(key string) error {
	s.mu.Lock()
	var views []string
	holder := ""
	for id, st := range s.images {
		for _, l := range st.Layers {
			if l.Key != key {
				continue
			}
			views = append(views, id)
			for container := range s.holders[id] {
				holder = container
			}
		}
	}
	s.mu.Unlock()
	if holder != "" {
		return failf("repair", key, Busy, "the container %s stands on it; remove that first", shortName(holder))
	}
	for _, id := range views {
		s.views.drop(id)
	}
	return nil
}

// isKnown says whether a name in layers/ or blobs/ belongs to something.
func (s *Store) isKnown(dir, name string) bool {
	digest := "sha256:" + name
	s.mu.Lock()
	defer s.mu.Unlock()
	if filepath.Dir(dir) == "blobs" {
		_, is := s.blobs[digest]
		return is
	}
	return name == emptyLayer || s.layers[digest] != nil
}
