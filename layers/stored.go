package layers

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"hull/layers/union"
)

// StoredLayer is a layer as it lies in the store.
type StoredLayer struct {
	ID      string // "sha256:…": the diff ID, or the chain ID of a layer that takes something from those below it
	DiffID  string // digest of the tar it was unpacked from, as an image's config names it
	Size    int64  // bytes of its files
	Entries int64
	Made    time.Time // when it was unpacked
}

// StoredLayers is every layer of the store, by ID.
func (s *Store) StoredLayers() []StoredLayer {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]StoredLayer, 0, len(s.layers))
	for key, l := range s.layers {
		list = append(list, shownLayer(key, l))
	}
	slices.SortFunc(list, func(a, b StoredLayer) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// StoredLayer looks a layer up by its ID.
func (s *Store) StoredLayer(id string) (StoredLayer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.layers[id]
	if l == nil {
		return StoredLayer{}, false
	}
	return shownLayer(id, l), true
}

func shownLayer(key string, l *layer) StoredLayer {
	return StoredLayer{ID: key, DiffID: l.DiffID, Size: l.Size, Entries: l.Entries, Made: l.made}
}

// users are who has a layer, of one snapshot.
type users struct {
	names   []string // references, or the IDs of images without one
	digests []string // of the layer in compressed form
}

// usersOf makes the whole table when it is asked for first: a walk over all layers
// asks for each.
func (sn *snapshot) usersOf(id string) users {
	sn.counted.Do(func() {
		sn.users = map[string]users{}
		for im, r := range sn.record {
			if r.Image == nil {
				continue
			}
			name := cmp.Or(im.Reference, im.ID)
			for _, l := range r.Image.Layers {
				u := sn.users[l.Key]
				u.names, u.digests = append(u.names, name), append(u.digests, l.Blob)
				sn.users[l.Key] = u
			}
		}
		for key, u := range sn.users {
			sn.users[key] = users{sorted(u.names), sorted(u.digests)}
		}
	})
	return sn.users[id]
}

func sorted(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// LayerUsers are the images that have a layer, sorted: references, or the IDs of
// images without one.
func (s *Store) LayerUsers(id string) (names []string) { return s.snapshot.Load().usersOf(id).names }

// LayerDigests are the digests that images' manifests give a layer in its compressed
// form, sorted.
func (s *Store) LayerDigests(id string) []string { return s.snapshot.Load().usersOf(id).digests }

// LayerView is one layer's own tree, read-only and as it is on the disk: what it
// takes away is shown by the devices 0/0 that overlay knows it by. Close dir when
// done with it.
func (s *Store) LayerView(ctx context.Context, id string) (dir *os.File, err error) {
	if err := ctx.Err(); err != nil {
		return nil, wrap("view", id, err)
	}
	if _, ok := s.StoredLayer(id); !ok {
		return nil, failf("view", id, NotFound, "there is no such layer here")
	}
	dir, err = union.Single(s.layersDir, layerName(id)+"/diff")
	if errors.Is(err, os.ErrNotExist) {
		return nil, failf("view", id, Removed, "it is not in the store any more")
	}
	return dir, wrap("view", id, err)
}
