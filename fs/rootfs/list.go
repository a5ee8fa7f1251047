package rootfs

import (
	"context"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// listing is an open directory: the one beneath, with the inode numbers that are shown. A directory of a tree that never
// changes, which the kernel has read to its end before, is opened only if it asks again.
type listing struct {
	entries stream // nil: not open
	fd      int
	dir     *node
	held    *held
}

// stream is what go-fuse makes of an open directory.
type stream interface {
	fusefs.FileReaddirenter
	fusefs.FileSeekdirer
	fusefs.FileReleasedirer
}

var (
	_ fusefs.FileReaddirenter = (*listing)(nil)
	_ fusefs.FileSeekdirer    = (*listing)(nil)
	_ fusefs.FileReleasedirer = (*listing)(nil)
	_ fusefs.FileFsyncdirer   = (*listing)(nil)
	_ fusefs.FileLookuper     = (*listing)(nil)
)

// OpendirHandle opens a directory.
func (n *node) OpendirHandle(ctx context.Context, _ uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	h, errno := n.tree.borrow(ctx)
	if errno != 0 {
		return nil, 0, errno
	}
	defer h.giveBack()
	l := &listing{dir: n, fd: -1}
	if !h.view.ReadOnly || !n.known.Load() {
		if errno := l.open(ctx, h); errno != 0 {
			return nil, 0, errno
		}
	}
	l.held = h.keep()
	flags := uint32(0)
	if h.view.ReadOnly {
		flags = fuse.FOPEN_CACHE_DIR | fuse.FOPEN_KEEP_CACHE
	}
	return l, flags, 0
}

// open opens the directory beneath.
func (l *listing) open(ctx context.Context, h *held) syscall.Errno {
	fd, errno := l.dir.openDir(ctx, h)
	if errno != 0 {
		return errno
	}
	entries, errno := fusefs.NewLoopbackDirStreamFd(fd)
	s, ok := entries.(stream)
	if !ok || errno != 0 {
		_ = unix.Close(fd)
		return syscall.EIO
	}
	l.fd, l.entries = fd, s
	return 0
}

// needed opens the directory if it is not open yet. go-fuse reads a listing in one goroutine at a time.
func (l *listing) needed(ctx context.Context) syscall.Errno {
	if l.entries != nil {
		return 0
	}
	h, errno := l.dir.tree.borrow(ctx) // not l.held, which may have been given back
	if errno != 0 {
		return errno
	}
	defer h.giveBack()
	return l.open(ctx, h)
}

func (n *node) openDir(ctx context.Context, h *held) (int, syscall.Errno) {
	if h.view.ReadOnly && !n.top {
		return n.openFixed(h, unix.O_RDONLY|unix.O_DIRECTORY)
	}
	s, errno := n.reach(ctx)
	if errno != 0 {
		return -1, errno
	}
	defer s.leave()
	fd, err := enter(s.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	return fd, fusefs.ToErrno(err)
}

// Readdirent gives the next entry.
func (l *listing) Readdirent(ctx context.Context) (*fuse.DirEntry, syscall.Errno) {
	if errno := l.needed(ctx); errno != 0 {
		return nil, errno
	}
	e, errno := l.entries.Readdirent(ctx)
	if errno == 0 && e == nil {
		l.dir.known.Store(true)
	}
	if errno != 0 || e == nil {
		return nil, errno
	}
	if e.Name != "." && e.Name != ".." {
		kind := e.Mode & unix.S_IFMT
		number := place{ino: e.Ino}.number(l.dir.tree.seed, l.dir.StableAttr().Ino, kind)
		e.Ino = l.dir.tree.ids.of(number, kind).Ino
	}
	return e, 0
}

// Lookup tells the kernel what an entry is together with its name (READDIRPLUS), which spares it a question for each.
// Where it would have to ask again at once, because it may not believe the answer, it gets just the name.
func (l *listing) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	h, errno := l.dir.tree.borrow(ctx)
	if errno != 0 {
		return nil, errno
	}
	defer h.giveBack()
	var st unix.Statx_t
	if err := stat(l.fd, name, &st); err != nil {
		return nil, fusefs.ToErrno(err)
	}
	if !h.view.ReadOnly && st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return nil, syscall.ENOSYS
	}
	return l.dir.child(ctx, h, l.fd, name, &st, out)
}

// Seekdir goes to an offset that an entry had.
func (l *listing) Seekdir(ctx context.Context, off uint64) syscall.Errno {
	if errno := l.needed(ctx); errno != 0 {
		return errno
	}
	return l.entries.Seekdir(ctx, off)
}

// Fsyncdir writes the directory to disk.
func (l *listing) Fsyncdir(context.Context, uint32) syscall.Errno {
	if l.held.view.ReadOnly {
		return 0
	}
	return fusefs.ToErrno(unix.Fsync(l.fd))
}

// Releasedir closes it.
func (l *listing) Releasedir(ctx context.Context, flags uint32) {
	if l.entries != nil {
		l.entries.Releasedir(ctx, flags)
	}
	l.held.let()
}
