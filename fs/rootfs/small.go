package rootfs

import (
	"context"
	"sync"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// maxSmall is the size up to which a file of a tree that never changes is kept in the kernel's memory as this mount's
// own, beside what lies beneath. Passthrough has no second copy, but makes each open and close dear: two more system
// calls, and after a read the kernel asks for the attributes again, because it does not know any more when the file was
// last read.
//
// So whoever opens a small file for the first time gets the content with the answer, before he asks for it. Who opens it
// again finds it in the kernel, and nothing is opened here; should the kernel have dropped it meanwhile, the read that
// then comes opens it (which is too late only if the tree has been closed since the open).
const maxSmall = 64 << 10

// late is what is open only if it must be.
type late struct {
	node *node
	mu   sync.Mutex // guards file.fd
}

// small tells whether a file is kept so.
func (n *node) small() bool { return n.fixed != nil && n.fixed.Size <= maxSmall }

// openSmall opens a small file.
func (n *node) openSmall(h *held, flags int) (fusefs.FileHandle, uint32, syscall.Errno) {
	f := &file{fd: -1, late: &late{node: n}}
	if !n.known.Load() {
		fd, errno := n.openFixed(h, flags)
		if errno != 0 {
			return nil, 0, errno
		}
		f.fd = fd
		n.tell(fd)
	}
	f.held = h.keep()
	return f, fuse.FOPEN_NOFLUSH | fuse.FOPEN_KEEP_CACHE, 0
}

// tell gives the kernel the whole content of a small file. If it does not take it, it will ask.
func (n *node) tell(fd int) {
	size := int(n.fixed.Size)
	if size > 0 {
		b, _ := contents.Get().(*[maxSmall]byte)
		defer contents.Put(b)
		if got, err := unix.Pread(fd, b[:size], 0); err != nil || got != size {
			return
		}
		if errno := n.WriteCache(0, b[:size]); errno != 0 {
			return
		}
	}
	n.known.Store(true)
}

// contents are rooms for what tell reads.
var contents = sync.Pool{New: func() any { return new([maxSmall]byte) }}

// descriptor gives the descriptor of an open file, and opens it if it is not open yet.
func (f *file) descriptor(ctx context.Context) (int, syscall.Errno) {
	l := f.late
	if l == nil {
		return f.fd, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.fd >= 0 {
		return f.fd, 0
	}
	h, errno := l.node.tree.borrow(ctx) // not f.held, which may have been given back
	if errno != 0 {
		return -1, errno
	}
	defer h.giveBack()
	fd, errno := l.node.openFixed(h, unix.O_RDONLY)
	if errno == 0 {
		f.fd = fd
	}
	return fd, errno
}

// readSmall reads what the kernel has not, or no longer.
func (f *file) readSmall(ctx context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	fd, errno := f.descriptor(ctx)
	if errno != 0 {
		return nil, errno
	}
	n, err := unix.Pread(fd, dest, off)
	return fuse.ReadResultData(dest[:max(n, 0)]), fusefs.ToErrno(err)
}
