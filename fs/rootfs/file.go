package rootfs

import (
	"context"
	"errors"
	"strings"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// file is an open regular file. The kernel releases it only when every request that carries it is answered, so its
// descriptor needs no lock.
type file struct {
	fd   int
	held *held // keeps the view as long as the file is open
	late *late // nil: fd is open
}

// passing is a file which the kernel reads and writes by itself.
type passing struct{ *file }

var (
	_ fusefs.FileReader          = (*file)(nil)
	_ fusefs.FileWriter          = (*file)(nil)
	_ fusefs.FileReleaser        = (*file)(nil)
	_ fusefs.FileFsyncer         = (*file)(nil)
	_ fusefs.FileAllocater       = (*file)(nil)
	_ fusefs.FileLseeker         = (*file)(nil)
	_ fusefs.FilePassthroughFder = passing{}
)

// openFlags are those flags of a caller's open that mean the same beneath. O_APPEND does: pwrite on such a descriptor
// appends whatever offset it is given, so that the container's appends and ours all arrive.
const openFlags = unix.O_ACCMODE | unix.O_APPEND | unix.O_TRUNC | unix.O_SYNC | unix.O_DSYNC | unix.O_NOATIME

// Open opens a regular file; the kernel opens all other kinds without asking.
func (n *node) Open(ctx context.Context, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	if n.Mode() != unix.S_IFREG {
		return nil, 0, syscall.ESTALE
	}
	writes := flags&unix.O_ACCMODE != unix.O_RDONLY || flags&unix.O_TRUNC != 0
	h, errno := n.tree.borrow(ctx)
	if errno != 0 {
		return nil, 0, errno
	}
	defer h.giveBack()
	if h.view.ReadOnly {
		if writes {
			return nil, 0, syscall.EROFS
		}
		if n.small() {
			return n.openSmall(h, int(flags)&openFlags)
		}
		fd, errno := n.openFixed(h, int(flags)&openFlags)
		if errno != 0 {
			return nil, 0, errno
		}
		f, fuseFlags := n.opened(fd, h)
		return f, fuseFlags, 0
	}
	s, errno := n.reach(ctx)
	if errno != 0 {
		return nil, 0, errno
	}
	defer s.leave()
	if writes {
		if mode := uint32(s.st.Mode); takesBits(ctx, mode) {
			if errno := dropBits(s.fd, mode); errno != 0 {
				return nil, 0, errno
			}
		}
	}
	fd, err := unix.Open(reopened(s.fd), int(flags)&openFlags|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, 0, fusefs.ToErrno(err)
	}
	f, fuseFlags := n.opened(fd, s.held)
	return f, fuseFlags, 0
}

// openFixed opens a node of a tree that nobody changes in one step: there is no need to look first and open then. The
// mount beneath has no devices, O_NONBLOCK keeps an open from waiting, and what was opened is compared all the same.
func (n *node) openFixed(h *held, flags int) (int, syscall.Errno) {
	names, ok := n.names()
	if !ok {
		return -1, syscall.ESTALE
	}
	fd, err := walkTo(h.fd, strings.Join(names, "/"), flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return -1, lost(err)
	}
	var st unix.Statx_t
	if err := stat(fd, "", &st); err != nil || !n.is(&st, h) {
		_ = unix.Close(fd)
		return -1, syscall.ESTALE
	}
	return fd, 0
}

// opened makes the handle of an open file, and tells the kernel how to use it.
//
// The kernel reads the files of a read-only tree by itself (but for small ones: small.go), with two more system calls
// here to open one and none to read it. It takes what it has already read from the page cache beneath, so nothing is
// held in memory twice. A tree that changes is read through here: all who have a file open must have it open in the same way, or the kernel refuses
// with EIO, and what the kernel believes of a file's size would not follow what the container writes.
func (n *node) opened(fd int, h *held) (fusefs.FileHandle, uint32) {
	f := &file{fd: fd, held: h.keep()}
	flags := uint32(fuse.FOPEN_NOFLUSH)
	if !h.view.ReadOnly {
		return f, flags
	}
	flags |= fuse.FOPEN_KEEP_CACHE // not with passthrough, for which go-fuse takes it away again
	if n.tree.o.Passthrough {
		return passing{f}, flags
	}
	return f, flags
}

// plain gives the file of a handle of either kind.
func plain(h fusefs.FileHandle) (*file, bool) {
	switch f := h.(type) {
	case *file:
		return f, true
	case passing:
		return f.file, true
	}
	return nil, false
}

// gone tells whether the tree was closed while the file was open. Who reads a file of a tree that never changes reads
// it to its end, like any file that is removed while it is open; the kernel by itself does so too.
func (f *file) gone() bool {
	if f.held.view.ReadOnly {
		return false
	}
	f.held.tree.mu.Lock()
	defer f.held.tree.mu.Unlock()
	return f.held.tree.closed
}

// PassthroughFd gives the kernel the file itself.
func (p passing) PassthroughFd() (int, bool) { return p.fd, true }

// Read reads.
func (f *file) Read(ctx context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if f.gone() {
		return nil, syscall.ESTALE
	}
	if f.late != nil {
		return f.readSmall(ctx, dest, off)
	}
	f.held.tree.reads.Add(1)
	return fuse.ReadResultFd(uintptr(f.fd), off, len(dest)), 0
}

// Write writes, at the end if the file was opened so.
func (f *file) Write(_ context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	if f.gone() {
		return 0, syscall.ESTALE
	}
	n, err := unix.Pwrite(f.fd, data, off)
	if err != nil {
		return 0, fusefs.ToErrno(err)
	}
	return uint32(n), 0
}

// Release closes it.
func (f *file) Release(context.Context) syscall.Errno {
	var err error
	if f.fd >= 0 {
		err = unix.Close(f.fd)
	}
	f.held.let()
	return fusefs.ToErrno(err)
}

// Fsync writes it to disk.
func (f *file) Fsync(_ context.Context, flags uint32) syscall.Errno {
	const dataOnly = 1
	if f.late != nil {
		return 0 // it never changes
	}
	if flags&dataOnly != 0 {
		return fusefs.ToErrno(unix.Fdatasync(f.fd))
	}
	return fusefs.ToErrno(unix.Fsync(f.fd))
}

// spot gives the open file itself as the place of a node that has none any more.
func (f *file) spot(ctx context.Context) (*spot, syscall.Errno) {
	h, errno := f.held.tree.borrow(ctx)
	if errno != 0 {
		return nil, errno
	}
	own, errno := f.descriptor(ctx)
	if errno != 0 {
		h.giveBack()
		return nil, errno
	}
	fd, err := unix.FcntlInt(uintptr(own), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		h.giveBack()
		return nil, fusefs.ToErrno(err)
	}
	s := &spot{held: h, fd: fd}
	if err := stat(fd, "", &s.st); err != nil {
		s.leave()
		return nil, fusefs.ToErrno(err)
	}
	return s, 0
}

// Fsync of a node that is open as something else has nothing to do.
func (n *node) Fsync(ctx context.Context, h fusefs.FileHandle, flags uint32) syscall.Errno {
	if f, ok := plain(h); ok {
		return f.Fsync(ctx, flags)
	}
	if l, ok := h.(*listing); ok {
		return l.Fsyncdir(ctx, flags)
	}
	return 0
}

// Allocate is fallocate(2).
func (f *file) Allocate(_ context.Context, off, size uint64, mode uint32) syscall.Errno {
	if f.gone() {
		return syscall.ESTALE
	}
	if f.late != nil {
		return syscall.EROFS
	}
	return fusefs.ToErrno(unix.Fallocate(f.fd, mode, int64(off), int64(size)))
}

// Lseek finds data and holes.
func (f *file) Lseek(ctx context.Context, off uint64, whence uint32) (uint64, syscall.Errno) {
	fd, errno := f.descriptor(ctx)
	if errno != 0 {
		return 0, errno
	}
	n, err := unix.Seek(fd, int64(off), int(whence))
	if err != nil {
		return 0, fusefs.ToErrno(err)
	}
	return uint64(n), 0
}

// maxCopy is how much is copied at once, so that a copy can be interrupted.
const maxCopy = 16 << 20

// CopyFileRange copies between two files of trees, without the data passing the daemon.
func (n *node) CopyFileRange(ctx context.Context, in fusefs.FileHandle, offIn uint64, _ *fusefs.Inode,
	out fusefs.FileHandle, offOut, length, _ uint64,
) (uint32, syscall.Errno) {
	from, ok1 := plain(in)
	to, ok2 := plain(out)
	if !ok1 || !ok2 {
		return 0, syscall.EXDEV // the kernel then copies by itself
	}
	if from.gone() || to.gone() {
		return 0, syscall.ESTALE
	}
	source, errno := from.descriptor(ctx)
	if errno != 0 {
		return 0, errno
	}
	if to.late != nil {
		return 0, syscall.EBADF // it is not open for writing, which the kernel has seen
	}
	flags, err := unix.FcntlInt(uintptr(to.fd), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_APPEND != 0 {
		return 0, syscall.EXDEV
	}
	i, o := int64(offIn), int64(offOut)
	done, err := unix.CopyFileRange(source, &i, to.fd, &o, int(min(length, maxCopy)), 0)
	if err != nil {
		if errors.Is(err, unix.EINVAL) {
			return 0, syscall.EXDEV
		}
		return 0, fusefs.ToErrno(err)
	}
	return uint32(done), 0
}

// attributes is Getattr of an open file, which may have no name any more.
func (f *file) attributes(n *node, out *fuse.AttrOut) syscall.Errno {
	if f.gone() {
		return syscall.ESTALE
	}
	if n.fixed != nil {
		out.Attr = *n.fixed
		out.SetTimeout(f.held.belief())
		return 0
	}
	var st unix.Statx_t
	if err := stat(f.fd, "", &st); err != nil {
		return fusefs.ToErrno(err)
	}
	fill(&out.Attr, &st, f.held.view.Base)
	out.Ino = n.StableAttr().Ino
	out.SetTimeout(f.held.belief())
	return 0
}
