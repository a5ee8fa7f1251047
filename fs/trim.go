package fs

import (
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
)

const (
	trimAbove = 10_000           // nodes made since the last trim that are worth one
	trimAfter = 10 * time.Second // how long nobody must have looked anything up
	forgotIn  = time.Second      // how long the kernel may take to tell what it has forgotten
	trimBatch = 4096
)

// trimmer gives back what a walk over everything leaves behind: the kernel keeps what it has looked up for as long as
// it has memory, and each of that is a node here (565 MB after a find over 10,000 containers). It asks the kernel to
// forget what nobody uses, once it is quiet, and sets no timer while there is little to give back. Then Options.Quiet may
// give the memory back.
type trimmer struct {
	made atomic.Int64 // nodes since the last trim

	mu     sync.Mutex
	timer  *time.Timer // nil while there is little; runs quiet, then forgotten
	seen   int64       // made, when the timer was set
	closed bool
}

// noted counts a node that was made.
func (t *Tree) noted() {
	if t.trimmer.made.Add(1) != trimAbove {
		return
	}
	r := &t.trimmer
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer == nil && !r.closed {
		r.await(t)
	}
}

// await has the tree trimmed when it is quiet. The caller holds mu.
func (r *trimmer) await(t *Tree) {
	r.seen = r.made.Load()
	r.timer = time.AfterFunc(trimAfter, t.quiet)
}

// quiet trims, or waits on if there were look-ups lately.
func (t *Tree) quiet() {
	r := &t.trimmer
	r.mu.Lock()
	n := r.made.Load()
	if r.closed {
		r.mu.Unlock()
		return
	}
	if n != r.seen {
		r.seen = n
		r.timer.Reset(trimAfter)
		r.mu.Unlock()
		return
	}
	r.made.Store(0)
	t.work.Add(1)
	r.mu.Unlock()
	defer t.work.Done()
	if errno := t.trim(); errno != 0 {
		t.Logger.Debug("the kernel does not forget", "op", "trim", "err", errno)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.timer = time.AfterFunc(forgotIn, t.forgotten)
	}
}

// forgotten is when the kernel has told what it has forgotten.
func (t *Tree) forgotten() {
	r := &t.trimmer
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timer = nil
	if r.closed {
		return
	}
	if r.made.Load() >= trimAbove {
		r.await(t)
	}
	if t.Quiet != nil {
		t.work.Go(t.Quiet)
	}
}

func (r *trimmer) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.timer != nil {
		r.timer.Stop()
	}
}

// trim asks the kernel to forget all nodes but the root, the deepest first. It keeps those in use. Kernels that do not
// know the question (before 6.18) refuse it.
func (t *Tree) trim() syscall.Errno {
	var all []*fusefs.Inode
	var walk func(n *fusefs.Inode)
	walk = func(n *fusefs.Inode) {
		for _, c := range n.Children() {
			walk(c)
			all = append(all, c)
		}
	}
	top := t.top.Load()
	if top == nil {
		return 0
	}
	walk(&top.Inode)
	for i := 0; i < len(all) && t.ctx.Err() == nil; i += trimBatch {
		if errno := top.NotifyPrune(all[i:min(len(all), i+trimBatch)]); errno != 0 {
			return errno
		}
	}
	return 0
}
