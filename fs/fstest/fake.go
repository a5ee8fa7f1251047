// Package fstest holds a backend of the tree in memory, and what every backend must keep.
//
// A [Fake] is a registry, a store and an engine without any process or network: pulls end when the test lets them, a
// stop takes as long as the test wants, and logs are what the test writes. The suites of contract.go run against it
// and against the real thing.
package fstest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hull/fs"
)

// Fake is a backend in memory. The zero value is not usable; see [New].
type Fake struct {
	mu       sync.Mutex
	registry map[string]string // familiar reference to ID
	held     map[string]bool   // references whose pulls do not end
	full     bool
	images   map[string]*image
	list     []*fs.Image // rebuilt at each change

	// Destroyed, if it is not nil, hears of each container that is no more, as fs.Tree.Destroyed wants to.
	Destroyed  func(id, name string)
	containers map[string]*container // by ID
	names      map[string]*container
	clist      []*fs.Container
	made       int
	born       time.Time

	registries map[string]*registry // by domain
	volumes    map[string]*fs.Volume
	networks   map[string]*fs.Network
	members    map[string][]fs.Member // by network
	commands   []string
	roots      map[string]string // directories by ID
	lent       atomic.Int64      // of them
	changed    chan struct{}     // closed and made anew at each change
}

// New makes a backend whose registry holds the references given.
func New(refs ...string) *Fake {
	f := &Fake{
		born: now(), registry: map[string]string{}, held: map[string]bool{}, images: map[string]*image{},
		containers: map[string]*container{}, names: map[string]*container{},
		commands: []string{"cat", "ls", "sh", "true"}, roots: map[string]string{}, registries: map[string]*registry{
			"docker.io": {Registry: fs.Registry{Domain: "docker.io", Made: now()}, settings: map[string]string{}},
		}, changed: make(chan struct{}), volumes: map[string]*fs.Volume{}, networks: fixedNetworks(), members: map[string][]fs.Member{},
	}
	for _, r := range refs {
		f.registry[r] = digest("image " + r)
	}
	return f
}

func digest(s string) string {
	h := sha256.Sum256([]byte(s))
	return "sha256:" + hex.EncodeToString(h[:])
}

// Alike makes two references of the registry lead to one image.
func (f *Fake) Alike(ref, other string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.registry[other] = f.registry[ref]
}

// Hold keeps pulls of a reference from ending until LetGo.
func (f *Fake) Hold(ref string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held[ref] = true
}

// LetGo ends the pulls of a reference: well, or with a failure.
func (f *Fake) LetGo(ref string, failure error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.held, ref)
	if i := f.images[ref]; i != nil && i.Status == "pulling" {
		f.finish(i, failure)
	}
}

// Fill makes every pull a Space error.
func (f *Fake) Fill(full bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.full = full
}

// Root gives the directory that is an image's or container's file system, by ID; "" for all others.
func (f *Fake) Root(id, dir string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.roots[id] = dir
}

// Lent is how many file systems are lent to the tree.
func (f *Fake) Lent() int { return int(f.lent.Load()) }

// Write appends to a container's logs.
func (f *Fake) Write(name, stream, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.names[name]; c != nil {
		c.logs["logs"].add(text)
		c.logs[stream].add(text)
	}
}

// Exit ends a container.
func (f *Fake) Exit(name string, code int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.names[name]; c != nil && c.Running() {
		f.end(c, code)
	}
}

// change publishes new snapshots and wakes who waits. Called with mu held.
func (f *Fake) change() {
	f.list = make([]*fs.Image, 0, len(f.images))
	for _, i := range f.images {
		s := i.Image
		for _, o := range f.images {
			if o.ID == i.ID && i.ID != "" {
				s.Tags = append(s.Tags, o.Reference)
			}
		}
		slices.Sort(s.Tags)
		f.list = append(f.list, &s)
	}
	slices.SortFunc(f.list, func(a, b *fs.Image) int { return cmp.Compare(a.Reference, b.Reference) })
	f.clist = make([]*fs.Container, 0, len(f.names))
	for _, c := range f.names {
		s := c.Container
		f.clist = append(f.clist, &s)
	}
	slices.SortFunc(f.clist, func(a, b *fs.Container) int { return cmp.Compare(a.Name, b.Name) })
	close(f.changed)
	f.changed = make(chan struct{})
}

// Version implements [fs.Host].
func (f *Fake) Version() string { return "test" }

// Info implements [fs.Host].
func (f *Fake) Info() string { return "version test\nkernel test" }

// Disk implements [fs.Host].
func (f *Fake) Disk(context.Context) string { return "layers.bytes 0" }

// sorted is all that a map has, by its keys.
func sorted[T any](all map[string]T) []T {
	list := make([]T, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, all[name])
	}
	return list
}

func wrong(kind fs.Kind, op, object, format string, args ...any) error {
	return &fs.Error{Op: op, Object: object, Kind: kind, Sentence: fmt.Sprintf(format, args...)}
}

// growing is a text that grows.
type growing struct {
	mu sync.Mutex
	b  []byte
}

func (g *growing) add(s string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.b = append(g.b, s...)
}

func (g *growing) ReadAt(b []byte, off int64) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strings.NewReader(string(g.b)).ReadAt(b, off)
}

func (g *growing) Size() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return int64(len(g.b))
}

func (g *growing) Close() error { return nil }

// clock gives times that differ, however coarse the host's clock is.
var clock struct {
	sync.Mutex
	last time.Time
}

func now() time.Time {
	clock.Lock()
	defer clock.Unlock()
	t := time.Now()
	if !t.After(clock.last) {
		t = clock.last.Add(time.Microsecond)
	}
	clock.last = t
	return t
}
