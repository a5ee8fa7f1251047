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

// held is a view that has been borrowed.
type held struct {
	tree *Tree
	view *View
	fd   int
	home place // the top's, so that places can be told relative to it

	// Under Tree.mu:
	refs int  // operations that use the view
	open int  // open files, which need it no more, but to whom it would be a pity to lose it
	done bool // it has been given back
}

// drop has the view given back, now or by the last operation that uses it. It tells whether it is for the caller to
// give it back, after unlocking Tree.mu. Open files do not count: the kernel need not tell of their end when it unmounts.
func (h *held) drop() bool {
	if h.tree.held == h {
		h.tree.held = nil
	}
	if h.refs > 0 || h.done {
		return false
	}
	h.done = true
	return true
}

// generations gives each Tree nodes of its own, even if it is of the same ID as one that is closed: the kernel may know
// that one's for as long as somebody stands in it.
var generations atomic.Uint64

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

// borrow gives the view that is held, or asks for one. Each borrow needs a giveBack.
func (t *Tree) borrow(ctx context.Context) (*held, syscall.Errno) {
	for {
		t.mu.Lock()
		if t.closed {
			t.mu.Unlock()
			return nil, syscall.ESTALE
		}
		if h := t.held; h != nil {
			h.refs++
			t.mu.Unlock()
			if h.view.Gone != nil && h.view.Gone() {
				h.giveBack()
				t.end()
				return nil, syscall.ESTALE
			}
			return h, 0
		}
		if wait := t.opening; wait != nil {
			t.mu.Unlock()
			select {
			case <-wait:
				continue
			case <-ctx.Done():
				return nil, syscall.EINTR
			}
		}
		done := make(chan struct{})
		t.opening = done
		t.mu.Unlock()
		h, errno := t.ask(ctx)
		t.mu.Lock()
		t.opening = nil
		close(done)
		if errno == 0 && t.marked && t.mark != h.view.Mark {
			t.closed = true // the nodes that the kernel knows are of other files
		}
		if errno == 0 && !t.closed {
			t.marked, t.mark = true, h.view.Mark
			h.refs, t.held = 1, h
			t.mu.Unlock()
			return h, 0
		}
		t.mu.Unlock()
		if errno == 0 {
			h.view.Release()
			errno = syscall.ESTALE
		}
		return nil, errno
	}
}

// ask borrows from the source.
func (t *Tree) ask(ctx context.Context) (*held, syscall.Errno) {
	v, err := t.o.Source.View(ctx)
	if err != nil {
		errno := t.o.Errno(err)
		if errno == syscall.ENOENT {
			errno = syscall.ESTALE // it was there when it was looked up
		}
		return nil, errno
	}
	h := &held{tree: t, view: v, fd: -1}
	if raw, err := v.Dir.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { h.fd = int(fd) })
	}
	var st unix.Statx_t
	if err := stat(h.fd, "", &st); err != nil {
		v.Release()
		return nil, fusefs.ToErrno(err)
	}
	h.home = placeOf(&st)
	return h, 0
}

// giveBack ends a borrow. The last one starts the time after which the view goes back to the source.
func (h *held) giveBack() {
	t := h.tree
	t.mu.Lock()
	h.refs--
	last := false
	if t.held == h {
		h.unused()
	} else { // the tree was closed meanwhile
		last = h.drop()
	}
	t.mu.Unlock()
	if last {
		h.view.Release()
	}
}

// unused starts the time if nobody uses the view. Under Tree.mu.
func (h *held) unused() {
	t := h.tree
	if h.refs > 0 || h.open > 0 || t.held != h {
		return
	}
	t.used = t.now()
	if t.timer == nil {
		t.timers.Add(1)
		t.timer = time.AfterFunc(t.o.Idle, t.rest)
	}
}

// keep is for a file that is opened: until its let the view is not given back for want of use.
func (h *held) keep() *held {
	h.tree.mu.Lock()
	defer h.tree.mu.Unlock()
	h.open++
	return h
}

func (h *held) let() {
	h.tree.mu.Lock()
	defer h.tree.mu.Unlock()
	h.open--
	h.unused()
}

// rest gives the view back if nobody has used it for long enough.
func (t *Tree) rest() {
	t.mu.Lock()
	h := t.held
	left := t.o.Idle - t.now().Sub(t.used)
	last := false
	switch {
	case t.closed || t.timer == nil:
	case h != nil && h.refs+h.open == 0 && left > 0:
		t.timers.Add(1)
		t.timer = time.AfterFunc(left, t.rest)
	default: // if it is used, whoever gives it back last begins anew
		t.timer = nil
		last = h != nil && h.refs+h.open == 0 && h.drop()
	}
	t.mu.Unlock()
	if last {
		h.view.Release()
	}
	t.timers.Done()
}
