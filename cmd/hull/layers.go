package main

import (
	"hull/fs"
	"hull/layers"
)

// stored shows the store's layers to the tree.
type stored struct{ store *layers.Store }

func (s stored) List() []*fs.Layer {
	list := s.store.StoredLayers()
	out := make([]*fs.Layer, len(list))
	for i, l := range list {
		out[i] = (*fs.Layer)(&l)
	}
	return out
}

func (s stored) Find(id string) (*fs.Layer, bool) {
	l, ok := s.store.StoredLayer(id)
	return (*fs.Layer)(&l), ok
}

func (s stored) Images(id string) []string { return s.store.LayerUsers(id) }

func (s stored) Digests(id string) []string { return s.store.LayerDigests(id) }
