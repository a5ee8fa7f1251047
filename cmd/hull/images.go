package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"hull/engine"
	"hull/fs"
	"hull/layers"
)

// images shows the store of layers to the tree.
type images struct {
	store  *layers.Store
	engine *engine.Engine
	last   *atomic.Pointer[shownList]
}

// shownList is a list of the store's and what was made of it.
type shownList struct {
	of  []*layers.Image
	out []*fs.Image
}

// List gives the same list as long as the store does, so that the tree makes its
// directories once for each.
func (i images) List() []*fs.Image {
	list := i.store.List()
	if l := i.last.Load(); l != nil && len(l.of) == len(list) && (len(list) == 0 || &l.of[0] == &list[0]) {
		return l.out
	}
	out := make([]*fs.Image, 0, len(list))
	for _, m := range list {
		out = append(out, shown(m))
	}
	i.last.Store(&shownList{list, out})
	return out
}

func (i images) Find(name string) (*fs.Image, bool) {
	m, ok := i.store.Find(name)
	if !ok {
		return nil, false
	}
	return shown(m), true
}

func shown(m *layers.Image) *fs.Image {
	s := &fs.Image{
		Reference: m.Reference, ID: m.ID, Digest: m.Digest, Platform: m.Platform, For: m.For, Size: m.Size, Created: m.Created,
		Made: m.Made, Status: string(m.Status), Error: m.Error, Done: m.Done, Total: m.Total, Tags: m.Tags, Layers: m.Layers,
		Private: m.Private, Reader: m.Reader,
	}
	if s.Reference == "" { // it has lost its tags, and containers keep it
		s.Reference = m.ID
	}
	return s
}

func (i images) Parse(ref string) (string, error) {
	s, err := i.store.Parse(ref)
	return s, fromStore("images/"+ref, err)
}

func (i images) Pull(ctx context.Context, ref, platform string, budget time.Duration) error {
	o := layers.PullOptions{Budget: budget, By: uid(ctx), Keychain: keychain(uid(ctx)), Platform: platform}
	return fromStore("images/"+ref, i.store.Pull(ctx, ref, o))
}

func (i images) Push(ctx context.Context, ref, target string) error {
	by := uid(ctx)
	o := layers.PushOptions{By: by, Keychain: keychain(by)}
	if target != ref {
		o.Through = ref
		if err := i.store.Tag(ctx, ref, target, true, by); err != nil {
			return fromStore("images/"+target, err)
		}
	}
	return fromStore("images/"+target, i.store.Push(ctx, target, o))
}

func (i images) Wait(ctx context.Context, ref string) error {
	return fromStore("images/"+ref, i.store.Wait(ctx, ref))
}

func (i images) Cancel(ctx context.Context, ref string) error {
	return fromStore("images/"+ref, i.store.Cancel(ctx, ref))
}

func (i images) Tag(ctx context.Context, source, target string, move bool) error {
	return fromStore("images/"+target, i.store.Tag(ctx, source, target, move, uid(ctx)))
}

func (i images) Untag(ctx context.Context, name string) error {
	_, err := i.store.Untag(ctx, name, uid(ctx))
	return i.inUse(name, err)
}

// Remove is by ID, so that it is the image and not a name that goes: refused while it
// has several, or takes them all.
func (i images) Remove(ctx context.Context, name string, force bool) error {
	if m, ok := i.store.Find(name); ok && m.Usable() {
		name = m.ID
	}
	_, err := i.store.Remove(ctx, name, force, uid(ctx))
	return i.inUse(name, err)
}

// inUse names the containers that are in the way, which the store knows only by
// ID.
func (i images) inUse(name string, err error) error {
	var e *layers.Error
	if !errors.As(err, &e) || len(e.Holders) == 0 {
		return fromStore("images/"+name, err)
	}
	names := make([]string, 0, len(e.Holders))
	for _, id := range e.Holders {
		if c, ok := i.engine.Find(id); ok {
			id = c.Name
		}
		names = append(names, id)
	}
	return &fs.Error{
		Op: e.Op, Object: "images/" + name, Kind: fs.Busy, Err: err,
		Sentence: fmt.Sprintf("Cannot remove %s while containers are made of it: %s. Remove those first, or write remove force to its ctl, and the layers stay for them.", name, strings.Join(names, ", ")),
	}
}

func (i images) Load(ctx context.Context, r io.Reader) error {
	_, err := i.store.Load(ctx, r, uid(ctx))
	return fromStore("images", err)
}

func (i images) Documents(ref string) (*fs.Documents, error) {
	object := "images/" + ref
	if m, ok := i.store.Find(ref); ok && !m.Usable() {
		return &fs.Documents{}, nil
	}
	config, err := i.store.Config(ref)
	if err != nil {
		return nil, fromStore(object, err)
	}
	manifest, err := i.store.Manifest(ref)
	if err != nil {
		return nil, fromStore(object, err)
	}
	history, err := i.store.History(ref)
	if err != nil {
		return nil, fromStore(object, err)
	}
	return &fs.Documents{Config: config, Manifest: manifest, History: history}, nil
}

func (i images) Progress(ref string) (fs.Growing, error) {
	p, ok := i.store.Progress(ref)
	if !ok {
		return nil, nil
	}
	return lines{p}, nil
}

// lines is a pull's progress, which needs no closing.
type lines struct{ *layers.Progress }

func (lines) Close() error { return nil }

// uid is who asked; work of the daemon's own is root's.
func uid(ctx context.Context) uint32 {
	c, _ := fs.By(ctx)
	return c.UID
}
