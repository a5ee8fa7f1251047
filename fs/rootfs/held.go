package rootfs

import (
	"context"
	"sync/atomic"
	"syscall"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"golang.org/x/sys/unix"
)

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
