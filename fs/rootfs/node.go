package rootfs

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// How long the kernel may believe what it was told. A container changes its files behind the kernel's back, an image
// never changes. A symbolic link is looked up each time, because what it shows depends on where it lies.
const (
	beliefChanging = 250 * time.Millisecond
	beliefFixed    = time.Hour
	beliefNone     = 0 // which the mount's own default must be too, because go-fuse takes that for 0
)

// node is a file of a tree, of any kind.
type node struct {
	fusefs.Inode
	tree   *Tree
	top    bool
	place  place // relative to the view's top
	parent *node // of a symbolic link: where the kernel found it

	// fixed are the attributes of a file of a tree that never changes. The kernel asks for them again each time it has
	// read the file by itself, since then it does not know when it was last read.
	fixed *fuse.Attr
	known atomic.Bool // the kernel has been told all that is in it, a file or a directory of such a tree
}

var (
	_ fusefs.NodeLookuper       = (*node)(nil)
	_ fusefs.NodeGetattrer      = (*node)(nil)
	_ fusefs.NodeSetattrer      = (*node)(nil)
	_ fusefs.NodeOpendirHandler = (*node)(nil)
	_ fusefs.NodeReadlinker     = (*node)(nil)
	_ fusefs.NodeOpener         = (*node)(nil)
	_ fusefs.NodeCreater        = (*node)(nil)
	_ fusefs.NodeMkdirer        = (*node)(nil)
	_ fusefs.NodeMknoder        = (*node)(nil)
	_ fusefs.NodeSymlinker      = (*node)(nil)
	_ fusefs.NodeLinker         = (*node)(nil)
	_ fusefs.NodeUnlinker       = (*node)(nil)
	_ fusefs.NodeRmdirer        = (*node)(nil)
	_ fusefs.NodeRenamer        = (*node)(nil)
	_ fusefs.NodeStatfser       = (*node)(nil)
	_ fusefs.NodeGetxattrer     = (*node)(nil)
	_ fusefs.NodeSetxattrer     = (*node)(nil)
	_ fusefs.NodeListxattrer    = (*node)(nil)
	_ fusefs.NodeRemovexattrer  = (*node)(nil)
	_ fusefs.NodeCopyFileRanger = (*node)(nil)
	_ fusefs.NodeFsyncer        = (*node)(nil)
)

// names gives the way from the top to the node; false if it has been removed.
func (n *node) names() ([]string, bool) {
	var names []string
	for at := n; !at.top; {
		name, up := at.Parent()
		if up == nil {
			return nil, false
		}
		parent, ok := up.Operations().(*node)
		if !ok {
			return nil, false
		}
		names = append(names, name)
		at = parent
	}
	for i, j := 0, len(names)-1; i < j; i, j = i+1, j-1 {
		names[i], names[j] = names[j], names[i]
	}
	return names, true
}

// spot is where a node was found.
type spot struct {
	*held
	fd int // O_PATH
	st unix.Statx_t
}

func (s *spot) leave() {
	if s.fd != s.held.fd {
		_ = unix.Close(s.fd)
	}
	s.giveBack()
}

// reach finds the node's place, whatever has happened to the tree meanwhile. The caller must leave it.
func (n *node) reach(ctx context.Context) (*spot, syscall.Errno) {
	names, ok := n.names()
	if !ok {
		return nil, syscall.ESTALE
	}
	h, errno := n.tree.borrow(ctx)
	if errno != 0 {
		return nil, errno
	}
	s := &spot{held: h, fd: h.fd}
	if !n.top {
		fd, err := walk(h.fd, strings.Join(names, "/"))
		if err != nil {
			h.giveBack()
			return nil, lost(err)
		}
		s.fd = fd
	}
	if err := stat(s.fd, "", &s.st); err != nil {
		s.leave()
		return nil, fusefs.ToErrno(err)
	}
	if !n.top && !n.is(&s.st, h) {
		s.leave()
		return nil, syscall.ESTALE
	}
	return s, 0
}

// is tells whether st is of the file that the node stands for.
func (n *node) is(st *unix.Statx_t, h *held) bool {
	return placeOf(st).from(h.home) == n.place && uint32(st.Mode)&unix.S_IFMT == n.Mode()
}

// lost gives the errno of a walk that failed: what was there is gone or another, so the kernel should look again.
func lost(err error) syscall.Errno {
	for _, e := range []error{unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.EXDEV} {
		if errors.Is(err, e) {
			return syscall.ESTALE
		}
	}
	return fusefs.ToErrno(err)
}

// maxPath is the longest path that is given to the kernel at once. A tree may be deeper than its limit of 4096 bytes.
const maxPath = 3500

// walk finds a path below dir without following anything, however long it is.
func walk(dir int, path string) (int, error) { return walkTo(dir, path, unix.O_PATH|unix.O_NOFOLLOW) }

// walkTo opens with flags what walk would find.
func walkTo(dir int, path string, flags int) (int, error) {
	at := dir
	for {
		step, rest, how := path, "", flags
		if len(path) > maxPath {
			cut := strings.LastIndexByte(path[:maxPath], '/')
			step, rest, how = path[:cut], path[cut+1:], unix.O_PATH|unix.O_NOFOLLOW
		}
		fd, err := enter(at, step, how, 0)
		if at != dir {
			_ = unix.Close(at)
		}
		if err != nil || rest == "" {
			return fd, err
		}
		at, path = fd, rest
	}
}

// enter is openat2 as it is used everywhere here. EAGAIN is that the path changed while it was walked.
func enter(dir int, path string, flags int, mode uint32) (int, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Mode:    uint64(mode),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	for range 64 {
		fd, err := unix.Openat2(dir, path, &how)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
	return -1, unix.ESTALE
}

// Lookup finds a name in a directory.
func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	s, errno := n.reach(ctx)
	if errno != 0 {
		return nil, errno
	}
	defer s.leave()
	var st unix.Statx_t
	if err := stat(s.fd, name, &st); err != nil {
		return nil, fusefs.ToErrno(err)
	}
	return n.child(ctx, s.held, s.fd, name, &st, out)
}

// child makes the inode of a name that was found in n, which dir stands for, and what the kernel is told of it.
func (n *node) child(ctx context.Context, h *held, dir int, name string, st *unix.Statx_t, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	kind := uint32(st.Mode) & unix.S_IFMT
	c := &node{tree: n.tree, place: placeOf(st).from(h.home)}
	id := n.tree.ids.of(c.place.number(n.tree.seed, n.StableAttr().Ino, kind), kind)
	fill(&out.Attr, st, h.view.Base)
	out.Ino = id.Ino
	belief := h.belief()
	out.SetAttrTimeout(belief)
	if kind == unix.S_IFLNK {
		c.parent = n
		size, errno := shownSize(h, dir, name, n)
		if errno != 0 {
			return nil, errno
		}
		out.Size = size
		if !h.view.ReadOnly {
			belief = beliefNone
		}
	}
	out.SetEntryTimeout(belief)
	if h.view.ReadOnly {
		a := out.Attr
		c.fixed = &a
	}
	if n.tree.o.Noted != nil {
		n.tree.o.Noted()
	}
	return n.NewInode(ctx, c, id), 0
}

func (h *held) belief() time.Duration {
	if h.view.ReadOnly {
		return beliefFixed
	}
	return beliefChanging
}

// Getattr tells what the kernel shows of a file.
func (n *node) Getattr(ctx context.Context, h fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	if f, ok := plain(h); ok {
		return f.attributes(n, out)
	}
	if n.fixed != nil {
		v, errno := n.tree.borrow(ctx)
		if errno != 0 {
			return errno
		}
		defer v.giveBack()
		out.Attr = *n.fixed
		out.SetTimeout(v.belief())
		return 0
	}
	s, errno := n.reach(ctx)
	if errno != 0 {
		return errno
	}
	defer s.leave()
	return n.describe(s, &s.st, out)
}

// describe fills in out for the node, which was reached.
func (n *node) describe(s *spot, st *unix.Statx_t, out *fuse.AttrOut) syscall.Errno {
	fill(&out.Attr, st, s.view.Base)
	out.Ino = n.StableAttr().Ino
	out.SetTimeout(s.belief())
	if n.top {
		out.Mode = unix.S_IFDIR | 0o700
		out.Owner = fuse.Owner{}
	}
	if n.parent != nil {
		size, errno := shownSize(s.held, s.fd, "", n.parent)
		if errno != 0 {
			return errno
		}
		out.Size = size
	}
	return 0
}

// fill translates what the kernel says of a file. The inode number is the caller's to set.
func fill(a *fuse.Attr, st *unix.Statx_t, base uint32) {
	a.Size, a.Blocks, a.Blksize = st.Size, st.Blocks, st.Blksize
	a.Atime, a.Atimensec = uint64(st.Atime.Sec), st.Atime.Nsec
	a.Mtime, a.Mtimensec = uint64(st.Mtime.Sec), st.Mtime.Nsec
	a.Ctime, a.Ctimensec = uint64(st.Ctime.Sec), st.Ctime.Nsec
	a.Mode, a.Nlink = uint32(st.Mode), st.Nlink
	a.Owner = fuse.Owner{Uid: shown(st.Uid, base), Gid: shown(st.Gid, base)}
	a.Rdev = uint32(unix.Mkdev(st.Rdev_major, st.Rdev_minor))
}

// Statfs tells of the file system that the tree lies on.
func (n *node) Statfs(ctx context.Context, out *fuse.StatfsOut) syscall.Errno {
	h, errno := n.tree.borrow(ctx)
	if errno != 0 {
		return errno
	}
	defer h.giveBack()
	var st unix.Statfs_t
	if err := unix.Fstatfs(h.fd, &st); err != nil {
		return fusefs.ToErrno(err)
	}
	out.Blocks, out.Bfree, out.Bavail = st.Blocks, st.Bfree, st.Bavail
	out.Files, out.Ffree = st.Files, st.Ffree
	out.Bsize, out.Frsize, out.NameLen = uint32(st.Bsize), uint32(st.Frsize), uint32(st.Namelen)
	return 0
}
