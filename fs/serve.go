// Package fs is hull's user interface: a tree of directories and small files in front of a store of images and an
// engine of containers, which it sees through the interfaces of backend.go.
//
// # The table
//
// tree.go lists every name once, with its kind, mode, summary and what it does. Look-ups, listings, attributes, the
// README of the mount and TREE.md come from there; to add a file to hull is to add a row and a function. The kinds of
// nodes are few: a [directory] shows a place (a fixed list of rows, or a collection such as images/), a [file] is one
// of text, growing text, ctl, setting or verb, and a [symlink] leads to other people's trees.
//
// # Rules that hold everywhere
//
//   - A plain open and read never starts anything, never waits and never touches a network.
//   - Nodes hold no state of objects: each call asks the backend's snapshot, by map look-up. What the tree itself
//     remembers (last failures, names hidden while rm -r works, editors' scratch files, directories below images/
//     that have no image yet) is in [Tree], each behind a lock of its own that is never held while calling out.
//   - Every look-up of a regular file makes a fresh inode, because the kernel holds an inode's lock during a write:
//     a kill must not wait for a stop. Directories keep theirs, keyed by their object.
//   - The kernel asks again each time, but for fixed directories and, for a moment, what came with a listing
//     of containers/ (listed.go).
//   - go-fuse succeeds silently where a node lacks a method, so each node answers every operation on purpose.
//   - An error goes to the caller as errno, and as a sentence to the error files and to events (failure.go).
//   - A signal that does not end the caller does not end its call (interrupt.go).
package fs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"hull/fs/journal"
	"hull/fs/session"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Options say what a tree shows and how.
type Options struct {
	Images     Images
	Containers Containers
	Registries Registries
	Layers     Layers
	Volumes    Volumes
	Networks   Networks
	Roots      Roots
	Upkeep     Upkeep // nil: the root has no ctl
	Host       Host
	Sessions   *session.Server  // opens sessions of verb files; nil leaves verbs readable only
	Journal    *journal.Journal // shown as events; refused calls are added to it
	Binary     string           // path of the hull binary, for the first line of verb files
	Access     string           // file that keeps what chown and chmod have set; empty keeps it in memory
	Group      int64            // the group that gets the controls; negative for none
	ViewIdle   time.Duration    // how long other people's files stay mounted after they were last looked at; 0 = 10 s
	Patience   time.Duration    // how long a mkdir, rmdir or mv of a container or volume may keep the directory locked; 0 = 10 s
	Budget     time.Duration    // what a mkdir that pulls may ask of the registry before it returns
	Source     string           // what the mount table shows as the device; hull's run directory, for hull umount
	Quiet      func()           // called when much was looked at and nobody looks any more: memory may be given back
	Logger     *slog.Logger
}

// Tree is the whole tree. Its methods may be called from any goroutine.
type Tree struct {
	Options
	table    *row // the root's
	settings map[string]Setting
	born     time.Time

	access   *access
	failures failures
	hides    hides
	scratch  scratches
	bare     bares
	index    imageIndex
	values   values
	views    views
	trimmer  trimmer
	lookups  lookups
	listed   listed
	sized    atomic.Pointer[sizedText] // the latest one
	top      atomic.Pointer[directory]

	ctx    context.Context //nolint:containedctx // the daemon's: for work that was accepted
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// New makes a tree. What it starts in the background ends with ctx or [Tree.Close].
func New(ctx context.Context, o Options) (*Tree, error) {
	if o.Images == nil || o.Containers == nil || o.Registries == nil || o.Layers == nil || o.Volumes == nil || o.Networks == nil || o.Roots == nil || o.Host == nil {
		return nil, errors.New("fs: a tree needs images, containers, registries, layers, volumes, networks, roots and a host")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	t := &Tree{Options: o, born: time.Now(), settings: map[string]Setting{}}
	t.ctx, t.cancel = context.WithCancel(ctx)
	for _, s := range o.Containers.Settings() {
		t.settings[s.Name] = s
	}
	t.table = table(o.Containers.Settings())
	var err error
	if t.access, err = openAccess(o.Access, o.Logger, t.there); err != nil {
		return nil, &Error{Op: "open", Kind: System, Sentence: fmt.Sprintf("What chown and chmod have set cannot be read: %v.", err), Err: err}
	}
	return t, nil
}

// Close ends what the tree does in the background and waits for it. Unmount first.
func (t *Tree) Close() error {
	t.cancel()
	t.bare.stop()
	t.trimmer.stop()
	t.work.Wait()
	t.views.close()
	t.access.end()
	return nil
}

// filesystem is the tree as go-fuse serves it.
func (t *Tree) filesystem() fuse.RawFileSystem {
	zero := time.Duration(0)
	top := t.root()
	t.top.Store(top)
	return fusefs.NewNodeFS(top, &fusefs.Options{
		EntryTimeout:    &zero,
		AttrTimeout:     &zero,
		NullPermissions: true,
		RootStableAttr:  &fusefs.StableAttr{Ino: inode("/")},
	})
}
