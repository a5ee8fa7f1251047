// Package rootfs shows trees of other people's files: the file systems of images, containers and volumes.
//
// Everything in such a tree is hostile: its owner may be root inside a container that runs at this moment, and may move
// directories and exchange files for symbolic links between any two system calls of ours. So:
//
//   - A [node] keeps no path that is trusted. Each operation walks from the tree's descriptor to the node's place with
//     openat2 and RESOLVE_BENEATH, NO_SYMLINKS and NO_MAGICLINKS, to an O_PATH descriptor, and compares what it found
//     with what the node was made for. Anything else is ESTALE, upon which the kernel looks the path up again. Only then
//     is something opened through /proc/self/fd, so that no device or FIFO is opened by accident, and with O_NONBLOCK.
//   - Symbolic links are followed by the kernel in its own tree of names, not by us, so what Readlink shows is rewritten
//     (links.go) such that following it from there stays inside: absolute targets become relative ones, and `..` never
//     climbs further than the top. That holds only if the depth at which the kernel stands is the depth that was counted.
//     Therefore directories and links are other inodes under another parent (identity.go): a directory that is moved in
//     the container never moves in the kernel's tree under somebody who stands in it.
//   - Owners are shown as the container's own: less the base of its range of ids. What is created here is created under
//     fsuid and fsgid of the range (owner.go), as an id-mapped upper directory demands.
//
// A [Tree] borrows its tree from a [Source] when it is first looked at and gives it back when nobody has looked for a
// while. When what it shows is gone, it closes: all that the kernel still knows of it is ESTALE, and a new Tree of the same
// ID has other nodes.
//
// What costs time is the number of questions, each of which wakes this process up and lets the caller sleep: on a virtual
// machine some 40 µs, where opening and reading a small file takes the kernel alone 10. So a listing tells what its
// entries are (READDIRPLUS), the kernel may believe for long what it knows of a tree that never changes, it reads the
// files of such a tree by itself (passthrough), and the small ones come with the answer to their open (small.go). What is
// left, and limits a walk from memory, are two questions for each file and directory that is opened: the open, and the
// release, for which nobody waits. Linux lets go of those only for a whole connection (FUSE_NO_OPEN_SUPPORT), and in hull's
// every other file needs them; a connection of its own for images would be a mount within the mount, across which rename
// and link answer EXDEV.
//
// The mount must be nosuid and nodev with default_permissions, so that the kernel does the permission checks with
// what is shown; the top is shown as 0700 root, because the ids inside are not the host's. It needs go-fuse's
// NullPermissions (a mode of 0 is a mode), an EntryTimeout of 0 or nil, and a umask of 0. With CAP_HANDLE_KILLPRIV_V2 the kernel leaves it to us to
// take set-user-ID bits from what is written to: go-fuse does not pass on with which writes, so they are taken when
// somebody other than root opens for writing.
package rootfs

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"golang.org/x/sys/unix"
)

// idle is how long a tree is kept after it was last looked at, if Options say nothing else.
const idle = 10 * time.Second

// View is a tree lent by a Source. It has the fields of fs.Root, so that one converts to the other.
type View struct {
	Dir      *os.File // O_PATH or readable descriptor of its top; stays the lender's
	Base     uint32   // first id of the range of 65,536 that owners in it are of; 0 if they are to be shown as they are
	ReadOnly bool
	Mark     uint64      // another one means that what is beneath is other files than before, though of the same object
	Gone     func() bool // tells that the object is no more, though the tree is still lent; nil: it is not known
	Release  func()
}

// Source lends a tree.
type Source interface {
	// View lends it until Release. While it is lent it may be lent again, as the same or as another one.
	View(ctx context.Context) (*View, error)
}

// Options say what a Tree is.
type Options struct {
	Source Source
	// ID tells the tree from all others of the mount, for ever: inode numbers are made of it.
	ID string
	// Errno gives what an error of Source means.
	Errno func(error) syscall.Errno
	// Passthrough has the kernel read the files of a read-only tree without asking. The mount needs MaxStackDepth 2.
	Passthrough bool
	// Idle is how long the view is kept after it was last looked at; 0 is ten seconds.
	Idle time.Duration
	// Noted is told of each node that is made; nil if nobody counts them.
	Noted func()
}

// Tree is one tree of other people's files.
type Tree struct {
	o     Options
	seed  uint64
	first uint64 // the generation of its nodes: no other Tree of the process has it
	now   func() time.Time
	ids   identities

	reads atomic.Int64 // those that the kernel could not do by itself

	timers sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	marked  bool // there has been a view, with that mark
	mark    uint64
	held    *held
	opening chan struct{} // closed when the one who asks the Source has its answer
	used    time.Time     // when held was last given back
	timer   *time.Timer   // runs while held is kept for nobody
}

// New makes a Tree. It asks for nothing yet.
func New(o Options) *Tree {
	if o.Idle == 0 {
		o.Idle = idle
	}
	t := &Tree{o: o, seed: seedOf(o.ID), first: generations.Add(1) << 32, now: time.Now}
	t.ids.last, t.ids.floor = t.first, t.first
	return t
}

// Node makes a node for the tree's top, and gives the identity with which it must be added to its parent:
//
//	node, attr := tree.Node()
//	return parent.NewInode(ctx, node, attr), 0
//
// A new one is made for each lookup; go-fuse keeps the first as long as the kernel knows it.
func (t *Tree) Node() (fusefs.InodeEmbedder, fusefs.StableAttr) {
	return &node{tree: t, top: true}, fusefs.StableAttr{Mode: unix.S_IFDIR, Ino: mix(t.seed, 0), Gen: t.first}
}

// Closed tells whether the tree is closed, by Close or because what it showed is gone.
func (t *Tree) Closed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

// Close gives the tree back at once. Everything in it that is still known or open answers ESTALE from then on; only an
// open file of a tree that never changed can be read to its end.
func (t *Tree) Close() {
	t.end()
	t.timers.Wait()
}

// end closes the tree and does not wait for its timers.
func (t *Tree) end() {
	t.mu.Lock()
	t.closed = true
	h := t.held
	unused := h != nil && h.drop()
	if t.timer != nil && t.timer.Stop() {
		t.timers.Done()
	}
	t.timer = nil
	t.mu.Unlock()
	if unused {
		h.view.Release()
	}
}

// Yield gives the view back; the next look borrows another. It waits for somebody who walks through it to have nothing
// open for a moment; false if that does not come within a time.
func (t *Tree) Yield(within time.Duration) bool {
	for by := time.Now().Add(within); ; time.Sleep(time.Millisecond) {
		t.mu.Lock()
		h := t.held
		unused := h != nil && h.open == 0 && h.refs == 0 && h.drop()
		t.mu.Unlock()
		switch {
		case unused:
			h.view.Release()
			return true
		case h == nil:
			return true
		case time.Now().After(by):
			return false
		}
	}
}
