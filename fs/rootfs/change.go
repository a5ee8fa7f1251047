package rootfs

import (
	"context"
	"errors"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// change reaches a directory to change it.
func (n *node) change(ctx context.Context) (*spot, syscall.Errno) {
	s, errno := n.reach(ctx)
	if errno != 0 {
		return nil, errno
	}
	if errno := s.readOnly(); errno != 0 {
		s.leave()
		return nil, errno
	}
	return s, 0
}

// Create creates a regular file and opens it. It was not there a moment ago; if it is now, the kernel looks again.
func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (
	*fusefs.Inode, fusefs.FileHandle, uint32, syscall.Errno,
) {
	s, errno := n.change(ctx)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	defer s.leave()
	fd := -1
	err := create(ctx, s.view.Base, func() (err error) {
		how := int(flags)&openFlags&^unix.O_TRUNC | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_NONBLOCK
		fd, err = enter(s.fd, name, how, mode&0o7777)
		return err
	})
	if err != nil {
		if errors.Is(err, unix.EEXIST) && flags&unix.O_EXCL == 0 {
			return nil, nil, 0, syscall.ESTALE
		}
		return nil, nil, 0, fusefs.ToErrno(err)
	}
	var st unix.Statx_t
	if err := stat(fd, "", &st); err != nil {
		_ = unix.Close(fd)
		return nil, nil, 0, fusefs.ToErrno(err)
	}
	c, errno := n.child(ctx, s.held, s.fd, name, &st, out)
	if errno != 0 {
		_ = unix.Close(fd)
		return nil, nil, 0, errno
	}
	h, fuseFlags := n.opened(fd, s.held)
	return c, h, fuseFlags, 0
}

// made creates something by make, and tells the kernel what it has become.
func (n *node) made(ctx context.Context, name string, out *fuse.EntryOut, kind uint32, how func(dir int) error) (
	*fusefs.Inode, syscall.Errno,
) {
	s, errno := n.change(ctx)
	if errno != 0 {
		return nil, errno
	}
	defer s.leave()
	if err := create(ctx, s.view.Base, func() error { return how(s.fd) }); err != nil {
		return nil, fusefs.ToErrno(err)
	}
	var st unix.Statx_t
	if err := stat(s.fd, name, &st); err != nil {
		return nil, lost(err)
	}
	if uint32(st.Mode)&unix.S_IFMT != kind {
		return nil, syscall.ESTALE // the container has put something else there already
	}
	return n.child(ctx, s.held, s.fd, name, &st, out)
}

// Mkdir makes a directory.
func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	return n.made(ctx, name, out, unix.S_IFDIR, func(dir int) error { return unix.Mkdirat(dir, name, mode&0o7777) })
}

// Mknod makes FIFOs, sockets and files. Devices would be of no use here, and of the wrong use in the container.
func (n *node) Mknod(ctx context.Context, name string, mode, _ uint32, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	kind := mode & unix.S_IFMT
	switch kind {
	case unix.S_IFIFO, unix.S_IFSOCK, unix.S_IFREG:
	default:
		return nil, syscall.EPERM
	}
	return n.made(ctx, name, out, kind, func(dir int) error { return unix.Mknodat(dir, name, mode, 0) })
}

// Symlink makes a link with the target as it was given: the container follows it, we show it rewritten.
func (n *node) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	return n.made(ctx, name, out, unix.S_IFLNK, func(dir int) error { return unix.Symlinkat(target, dir, name) })
}

// Link gives a file of the same tree another name.
func (n *node) Link(ctx context.Context, target fusefs.InodeEmbedder, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	old, ok := target.(*node)
	if !ok || old.tree != n.tree {
		return nil, syscall.EXDEV
	}
	s, errno := n.change(ctx)
	if errno != 0 {
		return nil, errno
	}
	defer s.leave()
	from, errno := old.reach(ctx)
	if errno != 0 {
		return nil, errno
	}
	defer from.leave()
	if err := unix.Linkat(from.fd, "", s.fd, name, unix.AT_EMPTY_PATH); err != nil {
		return nil, fusefs.ToErrno(err)
	}
	var st unix.Statx_t
	if err := stat(s.fd, name, &st); err != nil {
		return nil, lost(err)
	}
	return n.child(ctx, s.held, s.fd, name, &st, out)
}

// Unlink removes a name that is no directory's.
func (n *node) Unlink(ctx context.Context, name string) syscall.Errno { return n.remove(ctx, name, 0) }

// Rmdir removes an empty directory.
func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno {
	return n.remove(ctx, name, unix.AT_REMOVEDIR)
}

func (n *node) remove(ctx context.Context, name string, flags int) syscall.Errno {
	s, errno := n.change(ctx)
	if errno != 0 {
		return errno
	}
	defer s.leave()
	return fusefs.ToErrno(unix.Unlinkat(s.fd, name, flags))
}

// Rename moves within a tree. To another tree it is EXDEV, so that mv copies the file, which is what is meant; out of
// all trees it is EPERM, as everywhere in hull's.
func (n *node) Rename(ctx context.Context, name string, newParent fusefs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	to, ok := newParent.(*node)
	if !ok {
		return syscall.EPERM
	}
	if to.tree != n.tree {
		return syscall.EXDEV
	}
	if flags&^(unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE) != 0 {
		return syscall.EPERM
	}
	s, errno := n.change(ctx)
	if errno != 0 {
		return errno
	}
	defer s.leave()
	d, errno := to.reach(ctx)
	if errno != 0 {
		return errno
	}
	defer d.leave()
	if err := unix.Renameat2(s.fd, name, d.fd, newName, uint(flags)); err != nil {
		return fusefs.ToErrno(err)
	}
	n.moved(name, to)
	if flags&unix.RENAME_EXCHANGE != 0 {
		to.moved(newName, n)
	}
	return 0
}

// moved has the child of that name keep its inode below another parent.
func (n *node) moved(name string, to *node) {
	c := n.GetChild(name)
	if c == nil || n == to {
		return
	}
	child, ok := c.Operations().(*node)
	if !ok {
		return
	}
	a := c.StableAttr()
	if a.Mode != unix.S_IFDIR && a.Mode != unix.S_IFLNK {
		return
	}
	t := n.tree
	was := child.place.number(t.seed, n.StableAttr().Ino, a.Mode)
	t.ids.move(was, a, child.place.number(t.seed, to.StableAttr().Ino, a.Mode))
}

// Setattr changes owner, mode, size and times, in this order: a change of owner takes set-user-ID bits, one of size
// sets the times.
func (n *node) Setattr(ctx context.Context, h fusefs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	f, open := plain(h)
	s, errno := n.change(ctx)
	if errno == syscall.ESTALE && open {
		s, errno = f.spot(ctx) // it has no name any more
	}
	if errno != 0 {
		return errno
	}
	defer s.leave()
	if errno := setOwner(s.fd, s.view.Base, in); errno != 0 {
		return errno
	}
	if size, ok := in.GetSize(); ok {
		if errno := resize(ctx, s.fd, f, uint32(s.st.Mode), in.Valid, int64(size)); errno != 0 {
			return errno
		}
	}
	if errno := setTimes(s.fd, in); errno != 0 {
		return errno
	}
	var st unix.Statx_t
	if err := stat(s.fd, "", &st); err != nil {
		return fusefs.ToErrno(err)
	}
	return n.describe(s, &st, out)
}
