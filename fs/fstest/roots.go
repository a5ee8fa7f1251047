package fstest

import (
	"cmp"
	"context"
	"os"

	"hull/fs"
)

// Roots is the fake as the tree's file systems.
func (f *Fake) Roots() fs.Roots { return fakeRoots{f} }

type fakeRoots struct{ f *Fake }

func (s fakeRoots) open(id string, readOnly bool) (*fs.Root, error) {
	s.f.mu.Lock()
	dir := cmp.Or(s.f.roots[id], s.f.roots[""])
	s.f.mu.Unlock()
	if dir == "" {
		return nil, wrong(fs.NotFound, "view", id, "There is no file system of %s.", id)
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	s.f.lent.Add(1)
	return &fs.Root{Dir: d, ReadOnly: readOnly, Release: func() {
		d.Close()
		s.f.lent.Add(-1)
	}}, nil
}

func (s fakeRoots) ImageRoot(_ context.Context, id string) (*fs.Root, error) { return s.open(id, true) }

func (s fakeRoots) LayerRoot(_ context.Context, id string) (*fs.Root, error) { return s.open(id, true) }

func (s fakeRoots) VolumeRoot(_ context.Context, name string) (*fs.Root, error) {
	return s.open(name, false)
}

func (s fakeRoots) ContainerRoot(_ context.Context, id string) (*fs.Root, error) {
	return s.open(id, false)
}
