package volume

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"hull/engine/internal/naming"
)

// Volume is one moment of a volume. It never changes.
type Volume struct {
	Name     string
	UID, GID uint32 // who made it; of a volume that a start made, the container's owner
	Created  time.Time
	// Anonymous volumes are made for a VOLUME of an image or for a -v that names none; their names are made up.
	Anonymous bool
	// MadeFor is the ID of the container whose start made it; empty if somebody made it by itself.
	MadeFor string
	// Users are the IDs of the containers that have it among their mounts, sorted.
	Users []string
}

// Options are what a store of volumes is made of.
type Options struct {
	Dir    string
	Logger *slog.Logger
	// Discard deletes a directory with all it has, in its own time.
	Discard func(path string)
	// Crash is called at each of the points; nil does nothing.
	Crash func(point string)
}

// The points of [Options.Crash].
const (
	PointStaged  = "volume staged"  // .new-… is complete
	PointMade    = "volume made"    // it is a volume
	PointCopied  = "volume copied"  // the copy of the image's files is complete
	PointFilled  = "volume filled"  // it has become data
	PointEmptied = "volume emptied" // data is gone, the rest is not
	PointGiven   = "volume given"   // its record has the new owner
	PointRemoved = "volume removed" // it is .gone-…
)

// Points lists them.
func Points() []string {
	return []string{PointStaged, PointMade, PointCopied, PointFilled, PointEmptied, PointGiven, PointRemoved}
}

// Store is the volumes of one hull. Its methods may be called from many goroutines.
type Store struct {
	o Options

	mu      sync.Mutex
	volumes map[string]*held
	making  map[string]chan struct{}     // closed when the creation of that name has ended
	users   map[string]map[string]uint32 // by the volume's name, which need not be there: IDs of containers, with their owners
	uses    map[string][]string          // the same by container
	most    int                          // how many files a read of a size counts
}

// held is a volume with what is known of it.
type held struct {
	record Volume // but for Users
	broken error  // why its record on disk cannot be read
	gate   lock
	door   lock
	// Under Store.mu:
	leaving bool            // its files are being removed, by whoever has its door
	mounted map[string]bool // IDs of the containers that run with it
	fills   uint64          // how often another directory has become data
	size    measure
}

// lock is a lock that is waited for no longer than a ctx.
type lock chan struct{}

func newLock() lock { return make(lock, 1) }

func (l lock) take(ctx context.Context) error {
	select {
	case l <- struct{}{}: // whatever has become of ctx: nobody is waited for
		return nil
	default:
	}
	select {
	case l <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l lock) give() { <-l }

const (
	dataDir    = "data"
	seedPrefix = "seed-"
	newPrefix  = ".new-"
	gonePrefix = ".gone-"
	maxName    = 128
)

// CheckName tells why a volume cannot have a name.
func CheckName(name string) error {
	switch {
	case name == "" || len(name) > maxName:
		return fail("create", name, Invalid, "the name of a volume has 1 to %d characters", maxName)
	case !naming.Plain(name):
		return fail("create", name, Invalid, "a volume cannot be called %q: a name begins with a letter or digit and goes on with those, _, . and -", name)
	}
	return nil
}

// NewName makes a name for an anonymous volume, as docker's are.
func NewName() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}

// Open reads all volumes, and finishes or undoes what was half done.
func Open(o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{
		o: o, most: maxCounted, volumes: map[string]*held{}, making: map[string]chan struct{}{},
		users: map[string]map[string]uint32{}, uses: map[string][]string{},
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, failed("open", "", err, "the directory for volumes cannot be made")
	}
	entries, err := os.ReadDir(o.Dir)
	if err != nil {
		return nil, failed("open", "", err, "the volumes cannot be listed")
	}
	for _, e := range entries {
		if e.IsDir() {
			s.recover(e.Name())
		}
	}
	return s, nil
}

// recover takes one entry of the directory for what it is.
func (s *Store) recover(name string) {
	path := s.path(name)
	switch {
	case strings.HasPrefix(name, newPrefix), strings.HasPrefix(name, gonePrefix):
		s.o.Discard(path)
		return
	case CheckName(name) != nil:
		return // nothing of ours
	}
	if st, err := os.Lstat(filepath.Join(path, dataDir)); errors.Is(err, os.ErrNotExist) {
		if err := s.throw(name); err != nil {
			s.o.Logger.Error("a volume that is half removed cannot be removed", "volume", name, "op", "open", "err", err)
		}
		return
	} else if err != nil || !st.IsDir() {
		s.o.Logger.Error("what lies among the volumes is none", "volume", name, "op", "open", "err", err)
		return
	}
	s.dropSeeds(name)
	h := newHeld()
	h.record, h.broken = s.read(name)
	if h.broken != nil {
		s.o.Logger.Error("a volume's record cannot be read; its files are there", "volume", name, "op", "open", "err", h.broken)
	}
	s.volumes[name] = h
}

func newHeld() *held { return &held{gate: newLock(), door: newLock(), mounted: map[string]bool{}} }

func (s *Store) path(names ...string) string {
	return filepath.Join(append([]string{s.o.Dir}, names...)...)
}

func (s *Store) crash(point string) {
	if s.o.Crash != nil {
		s.o.Crash(point)
	}
}

// List answers every volume, by name. It never waits.
func (s *Store) List() []*Volume {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*Volume, 0, len(s.volumes))
	for _, h := range s.volumes {
		list = append(list, s.shown(h))
	}
	slices.SortFunc(list, func(a, b *Volume) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Find answers the volume of a name. It never waits.
func (s *Store) Find(name string) (*Volume, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.volumes[name]
	if h == nil {
		return nil, false
	}
	return s.shown(h), true
}

// shown is a volume with its users. The caller holds mu.
func (s *Store) shown(h *held) *Volume {
	v := h.record
	v.Users = s.usersOf(h)
	return &v
}

// usersOf are the IDs of the containers that have a volume, sorted. Somebody else's, which may not have it, do not
// count, whatever they name among their mounts. The caller holds mu.
func (s *Store) usersOf(h *held) []string {
	var ids []string
	for id, owner := range s.users[h.record.Name] {
		if h.record.May(owner) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// May tells whether a container that acts with a user's rights may have the volume.
func (v *Volume) May(uid uint32) bool { return uid == 0 || uid == v.UID }

// Use notes which volumes a user's container has among its mounts, instead of those it had; they need not be there.
func (s *Store) Use(container string, owner uint32, names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Equal(s.uses[container], names) && (len(names) == 0 || s.users[names[0]][container] == owner) {
		return
	}
	for _, name := range s.uses[container] {
		if delete(s.users[name], container); len(s.users[name]) == 0 {
			delete(s.users, name)
		}
	}
	delete(s.uses, container)
	for _, name := range names {
		if s.users[name] == nil {
			s.users[name] = map[string]uint32{}
		}
		s.users[name][container] = owner
	}
	if len(names) > 0 {
		s.uses[container] = slices.Clone(names)
	}
}

// dropSeeds throws away the copies that nobody came to finish.
func (s *Store) dropSeeds(name string) {
	files, err := os.ReadDir(s.path(name))
	if err != nil {
		s.o.Logger.Warn("a volume's directory cannot be listed", "volume", name, "op", "open", "err", err)
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), seedPrefix) {
			s.discard(s.path(name, f.Name()))
		}
	}
}
