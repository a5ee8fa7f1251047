package fstest

import (
	"slices"
	"strings"

	"hull/fs"
)

// Layers is the fake as the tree's layers: each image has two, the lower of which all share.
func (f *Fake) Layers() fs.Layers { return fakeLayers{f} }

type fakeLayers struct{ f *Fake }

func layersOf(id string) []string { return []string{digest("base"), digest("layer of " + id)} }

func (s fakeLayers) List() []*fs.Layer {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	found := map[string]*fs.Layer{}
	for _, i := range s.f.list {
		for _, id := range i.Layers {
			found[id] = &fs.Layer{ID: id, DiffID: id, Size: 1000, Entries: 3, Made: s.f.born}
		}
	}
	return sorted(found)
}

func (s fakeLayers) Find(id string) (*fs.Layer, bool) {
	for _, l := range s.List() {
		if l.ID == id {
			return l, true
		}
	}
	return nil, false
}

func (s fakeLayers) Images(id string) (names []string) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	for _, i := range s.f.list {
		if slices.Contains(i.Layers, id) {
			names = append(names, i.Reference)
		}
	}
	return names
}

func (s fakeLayers) Digests(id string) []string {
	return []string{digest("compressed " + strings.TrimPrefix(id, "sha256:"))}
}
