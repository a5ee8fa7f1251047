package fs

import (
	"context"
	"strings"
	"sync"
	"syscall"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"hull/fs/rootfs"
)

// containerRoots, imageRoots and layerRoots are what is in rootfs/: where links lead, one name for each tree, so
// that no directory of a tree ever has two parents.
type containerRoots struct {
	refusing
}

func openContainerRoots(_ *Tree, e *entry) place { return &containerRoots{refusing{e}} }

func (p *containerRoots) list(context.Context) ([]*entry, error) {
	var es []*entry
	for _, c := range p.e.t.Containers.List() {
		es = append(es, p.entry(c))
	}
	return es, nil
}

func (p *containerRoots) find(_ context.Context, name string) (*entry, error) {
	if c, ok := p.e.t.Containers.Find(name); ok && c.Name == name {
		return p.entry(c), nil
	}
	return nil, nil
}

func (p *containerRoots) entry(c *Container) *entry {
	return &entry{
		t: p.e.t, row: p.e.row.rows[0], obj: c.object(), name: c.Name, dir: p.e.path(),
		key: "rootfs/containers/" + c.ID,
	}
}

type imageRoots struct {
	refusing
}

func openImageRoots(_ *Tree, e *entry) place { return &imageRoots{refusing{e}} }

func (p *imageRoots) list(context.Context) ([]*entry, error) {
	var es []*entry
	seen := map[string]bool{}
	for _, i := range p.e.t.Images.List() {
		if i.Whole() && !seen[i.ID] {
			seen[i.ID] = true
			es = append(es, p.entry(i))
		}
	}
	return es, nil
}

func (p *imageRoots) find(_ context.Context, name string) (*entry, error) {
	if i, ok := p.e.t.Images.Find(name); ok && i.Whole() && strings.TrimPrefix(i.ID, "sha256:") == name {
		return p.entry(i), nil
	}
	return nil, nil
}

// entry is an image's tree by its ID: the tree lives as long as any reference to it does.
func (p *imageRoots) entry(i *Image) *entry {
	return &entry{
		t: p.e.t, row: p.e.row.rows[0], name: strings.TrimPrefix(i.ID, "sha256:"), dir: p.e.path(),
		key: "rootfs/images/" + i.ID,
	}
}

// layerRoots is rootfs/layers.
type layerRoots struct {
	refusing
}

func openLayerRoots(_ *Tree, e *entry) place { return &layerRoots{refusing{e}} }

func (p *layerRoots) list(context.Context) ([]*entry, error) {
	var es []*entry
	for _, l := range p.e.t.Layers.List() {
		es = append(es, p.entry(l))
	}
	return es, nil
}

func (p *layerRoots) find(_ context.Context, name string) (*entry, error) {
	if l, ok := p.e.t.Layers.Find("sha256:" + name); ok {
		return p.entry(l), nil
	}
	return nil, nil
}

func (p *layerRoots) entry(l *Layer) *entry {
	o := l.object()
	return &entry{
		t: p.e.t, row: p.e.row.rows[0], obj: o, name: strings.TrimPrefix(l.ID, "sha256:"), dir: p.e.path(),
		key: "rootfs/layers/" + o.key(),
	}
}

// views are the trees that have been looked into, one for each object.
type views struct {
	mu      sync.Mutex
	closed  bool
	open    map[string]*view // by what rootOf gives
	closing sync.WaitGroup   // of those that are gone
}

type view struct {
	key  string // of the entries that it is for: a layer that was unpacked again is another one
	tree *rootfs.Tree
	live func() bool
}

// rootOf names the object whose files an entry of rootfs/ shows, as Gone takes it.
func rootOf(e *entry) string {
	switch e.obj.kind {
	case containerObject:
		return "containers/" + e.obj.id
	case layerObject:
		return "layers/" + e.obj.id
	case volumeObject:
		return "volumes/" + e.obj.id
	case noObject, imageObject, registryObject, networkObject: // an image's tree is its ID's
	}
	return "images/sha256:" + e.name
}

// Gone tells that an object is no more: "containers/ID", "volumes/NAME", or "images/" and "layers/" with "sha256:…" behind.
// Whoever is still in its files finds nothing there from now on. An object that is there again by now is left alone. It
// returns at once: to unmount a file system may take the time to write what is in memory.
func (t *Tree) Gone(object string) {
	if id, ok := strings.CutPrefix(object, "containers/"); ok {
		t.access.forget(func(k accessKey) bool { return k.Object == "c/"+id })
	}
	v := &t.views
	v.mu.Lock()
	o := v.open[object]
	v.mu.Unlock()
	if o == nil || o.live() {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.open[object] == o {
		delete(v.open, object)
		v.closing.Go(o.tree.Close)
	}
}

// Yield has whoever looks into an object's files, "containers/ID", give back what is mounted for that, if they have
// nothing open there within a time. The next look mounts it again.
func (t *Tree) Yield(object string, within time.Duration) {
	v := &t.views
	v.mu.Lock()
	o := v.open[object]
	v.mu.Unlock()
	if o != nil {
		o.tree.Yield(within)
	}
}

// source lends a tree to fs/rootfs.
type source func(ctx context.Context) (*Root, error)

// View implements rootfs.Source.
func (s source) View(ctx context.Context) (*rootfs.View, error) {
	r, err := s(ctx)
	if err != nil {
		return nil, err
	}
	v := rootfs.View(*r)
	return &v, nil
}

// view returns the tree of an entry in rootfs/. nil if hull is ending.
func (t *Tree) view(e *entry) *rootfs.Tree {
	v := &t.views
	object := rootOf(e)
	v.mu.Lock()
	if v.closed {
		v.mu.Unlock()
		return nil
	}
	was := v.open[object]
	if was != nil && was.key == e.key && !was.tree.Closed() {
		v.mu.Unlock()
		return was.tree
	}
	if v.open == nil {
		v.open = map[string]*view{}
	}
	o := t.newView(e)
	v.open[object] = o
	v.mu.Unlock()
	if was != nil {
		was.tree.Close()
	}
	return o.tree
}

func (t *Tree) newView(e *entry) *view {
	var lend source
	live := func() bool { return e.alive() == nil }
	switch e.obj.kind {
	case containerObject:
		lend = func(ctx context.Context) (*Root, error) { return t.Roots.ContainerRoot(ctx, e.obj.id) }
	case layerObject:
		lend = func(ctx context.Context) (*Root, error) { return t.Roots.LayerRoot(ctx, e.obj.id) }
	case volumeObject:
		lend = func(ctx context.Context) (*Root, error) { return t.Roots.VolumeRoot(ctx, e.obj.id) }
	case noObject, imageObject, registryObject, networkObject: // an image's tree is its ID's
		id := "sha256:" + e.name
		lend = func(ctx context.Context) (*Root, error) { return t.Roots.ImageRoot(ctx, id) }
		live = func() bool { _, ok := t.Images.Find(id); return ok }
	}
	get := func(ctx context.Context) (*Root, error) {
		r, err := lend(ctx)
		if err == nil {
			gone := r.Gone
			r.Gone = func() bool { return gone != nil && gone() || !live() }
		}
		return r, err
	}
	return &view{e.key, rootfs.New(rootfs.Options{
		Source: source(get), ID: e.key, Errno: Errno, Passthrough: true, Idle: t.ViewIdle, Noted: t.noted,
	}), live}
}

func (v *views) close() {
	v.mu.Lock()
	open := v.open
	v.open, v.closed = nil, true
	v.mu.Unlock()
	for _, o := range open {
		o.tree.Close()
	}
	v.closing.Wait()
}

// lookupRoot answers the look-up of a tree of other people's files: fs/rootfs serves what is below.
func (d *directory) lookupRoot(ctx context.Context, e *entry, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	for again := true; ; again = false {
		tree := d.e.t.view(e)
		if tree == nil {
			return nil, syscall.ENOENT
		}
		ops, stable := tree.Node()
		if g, ok := ops.(fusefs.NodeGetattrer); ok {
			var a fuse.AttrOut
			errno := g.Getattr(ctx, nil, &a)
			if errno == syscall.ESTALE && again {
				continue // it was removed and made again meanwhile: its files are others now
			}
			if errno != 0 {
				return nil, errno
			}
			out.Attr = a.Attr
		}
		return d.NewInode(ctx, ops, stable), 0
	}
}
