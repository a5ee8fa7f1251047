package fs

import (
	"context"
	"errors"
	"syscall"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// directory is the node of every directory but those of other people's files.
type directory struct {
	fusefs.Inode
	e     *entry
	place place
}

var (
	_ fusefs.NodeGetattrer      = (*directory)(nil)
	_ fusefs.NodeSetattrer      = (*directory)(nil)
	_ fusefs.NodeLookuper       = (*directory)(nil)
	_ fusefs.NodeOpendirHandler = (*directory)(nil)
	_ fusefs.NodeMkdirer        = (*directory)(nil)
	_ fusefs.NodeRmdirer        = (*directory)(nil)
	_ fusefs.NodeUnlinker       = (*directory)(nil)
	_ fusefs.NodeRenamer        = (*directory)(nil)
	_ fusefs.NodeSymlinker      = (*directory)(nil)
	_ fusefs.NodeCreater        = (*directory)(nil)
	_ fusefs.NodeLinker         = (*directory)(nil)
	_ fusefs.NodeMknoder        = (*directory)(nil)
	_ fusefs.NodeTmpfiler       = (*directory)(nil)
	_ fusefs.NodeFsyncer        = (*directory)(nil)
	_ fusefs.NodeStatfser       = (*directory)(nil)
	_ fusefs.NodeGetxattrer     = (*directory)(nil)
	_ fusefs.NodeSetxattrer     = (*directory)(nil)
	_ fusefs.NodeListxattrer    = (*directory)(nil)
	_ fusefs.NodeRemovexattrer  = (*directory)(nil)
)

// attrTimeout spares a second question about a directory, link, verb or ctl to whoever has just looked it up. Files that
// show something have none: their size is asked when it is needed.
const attrTimeout = 50 * time.Millisecond

// partTimeout is how long the kernel may take it for granted that a directory of the tree's own making is where it was
// looked up: a fixed directory's parts stay what they are as long as it is there itself, which it asks each time.
const partTimeout = time.Hour

// root is the node of the tree's root.
func (t *Tree) root() *directory {
	e := &entry{t: t, row: t.table, key: "/"}
	return &directory{e: e, place: e.place()}
}

// add makes the node for an entry and fills in what the kernel is told about it.
func (d *directory) add(ctx context.Context, e *entry, out *fuse.EntryOut) *fusefs.Inode {
	e = e.now(ctx, &out.Attr)
	if e.row.kind.steady() {
		out.SetAttrTimeout(attrTimeout)
	}
	if d.e.row.kind == directoryRow && e.row.kind.directory() && e.row.when == nil {
		out.SetEntryTimeout(partTimeout)
	}
	d.e.t.noted()
	by, _ := By(ctx)
	return d.NewInode(ctx, e.node(), e.stable(by))
}

func (d *directory) Getattr(ctx context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	if d.e.alive() != nil {
		return syscall.ESTALE
	}
	d.e.attr(ctx, &out.Attr)
	out.SetTimeout(attrTimeout)
	return 0
}

func (d *directory) Setattr(ctx context.Context, _ fusefs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if d.e.alive() != nil {
		return syscall.ESTALE
	}
	ctx, done := d.e.t.request(ctx)
	defer done()
	if err := d.e.setattr(ctx, in); err != nil {
		return d.e.t.failed(ctx, "setattr", d.e, "", err)
	}
	d.e.attr(ctx, &out.Attr)
	return 0
}

// Lookup answers ENOENT without a sentence: shells and file managers ask for many names that are not there. One that is
// the beginning of several IDs is said.
func (d *directory) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	if d.e.alive() != nil {
		return nil, syscall.ESTALE
	}
	ctx = d.e.t.caller(ctx)
	e, err := d.place.find(ctx, name)
	if f := (*Error)(nil); errors.As(err, &f) && f.Op == opLookup {
		return nil, d.failed(ctx, opLookup, name, err)
	}
	if err != nil {
		return nil, Errno(err)
	}
	if e == nil {
		return nil, syscall.ENOENT
	}
	if e.row.kind == passthroughRow {
		return d.lookupRoot(ctx, e, out)
	}
	return d.add(ctx, e, out), 0
}

func (d *directory) Mkdir(ctx context.Context, name string, _ uint32, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	ctx, done := d.e.t.request(ctx)
	defer done()
	e, err := d.change(ctx, func() (*entry, error) { return d.place.mkdir(ctx, name) })
	if err != nil {
		return nil, d.failed(ctx, "mkdir", name, err)
	}
	return d.add(ctx, e, out), 0
}

func (d *directory) Rmdir(ctx context.Context, name string) syscall.Errno {
	ctx, done := d.e.t.request(ctx)
	defer done()
	_, err := d.change(ctx, func() (*entry, error) { return nil, d.place.rmdir(ctx, name) })
	return d.failed(ctx, "rmdir", name, err)
}

func (d *directory) Unlink(ctx context.Context, name string) syscall.Errno {
	ctx, done := d.e.t.request(ctx)
	defer done()
	_, err := d.change(ctx, func() (*entry, error) { return nil, d.place.unlink(ctx, name) })
	return d.failed(ctx, "unlink", name, err)
}

// Rename never answers EXDEV, on which mv would copy and delete, nor EINVAL, which mv calls moving a directory into
// itself.
func (d *directory) Rename(ctx context.Context, name string, to fusefs.InodeEmbedder, toName string, flags uint32) syscall.Errno {
	ctx, done := d.e.t.request(ctx)
	defer done()
	_, err := d.change(ctx, func() (*entry, error) {
		other, ok := to.(*directory)
		switch {
		case !ok:
			return nil, refusing{d.e}.no("rename", name, "it cannot leave the tree for a container's or an image's files")
		case flags&^unix.RENAME_NOREPLACE != 0:
			return nil, refusing{d.e}.no("rename", name, "names cannot be exchanged")
		}
		if by, _ := By(ctx); other != d {
			if err := may(by, other.e, Change); err != nil {
				return nil, err
			}
		}
		return nil, d.place.rename(ctx, name, other.place, toName, flags&unix.RENAME_NOREPLACE != 0)
	})
	if k := KindOf(err); err != nil && k == Invalid {
		err = &Error{Op: "rename", Object: d.e.path(), Kind: Forbidden, Sentence: Sentence(err), Err: err}
	}
	return d.failed(ctx, "rename", name, err)
}

func (d *directory) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	ctx, done := d.e.t.request(ctx)
	defer done()
	e, err := d.change(ctx, func() (*entry, error) { return d.place.symlink(ctx, target, name) })
	if err != nil {
		return nil, d.failed(ctx, "symlink", name, err)
	}
	return d.add(ctx, e, out), 0
}

func (d *directory) Create(ctx context.Context, name string, flags, _ uint32, out *fuse.EntryOut) (*fusefs.Inode, fusefs.FileHandle, uint32, syscall.Errno) {
	ctx, done := d.e.t.request(ctx)
	defer done()
	e, err := d.change(ctx, func() (*entry, error) { return d.place.create(ctx, name) })
	if err != nil {
		return nil, nil, 0, d.failed(ctx, "create", name, err)
	}
	in := d.add(ctx, e, out)
	h, fl, errno := in.Operations().(*file).open(ctx, flags)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	return in, h, fl, 0
}

// failed records a failure about a name in the directory: with the object of that name, if there is one.
func (d *directory) failed(ctx context.Context, op, name string, err error) syscall.Errno {
	if err == nil {
		return 0
	}
	o := d.e.obj
	if o.kind == noObject {
		if e, absent := d.place.find(ctx, name); e != nil && absent == nil {
			o = e.obj
		}
	}
	by, asked := By(ctx)
	return d.e.t.record(op, o, d.e.child(d.e.row, name).path(), by, asked, err)
}

// change runs what changes something in the directory, if the caller may.
func (d *directory) change(ctx context.Context, f func() (*entry, error)) (*entry, error) {
	if err := d.e.alive(); err != nil {
		return nil, err
	}
	by, _ := By(ctx)
	if err := may(by, d.e, Change); err != nil {
		return nil, err
	}
	return f()
}

func (d *directory) Link(ctx context.Context, _ fusefs.InodeEmbedder, name string, _ *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	return nil, d.e.t.failed(d.e.t.caller(ctx), "link", d.e, name, refusing{d.e}.no("link", name, "there are no hard links here; ln -s tags an image"))
}

func (d *directory) Mknod(ctx context.Context, name string, _, _ uint32, _ *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	return nil, d.e.t.failed(d.e.t.caller(ctx), "mknod", d.e, name, refusing{d.e}.no("mknod", name, "files of this kind cannot be made here"))
}

// Tmpfile is refused in the way that makes programs use a named file instead.
func (d *directory) Tmpfile(context.Context, uint32, uint32, *fuse.EntryOut) (*fusefs.Inode, fusefs.FileHandle, uint32, syscall.Errno) {
	return nil, nil, 0, syscall.EOPNOTSUPP
}

func (d *directory) Fsync(context.Context, fusefs.FileHandle, uint32) syscall.Errno { return 0 }

func (d *directory) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	out.Bsize, out.Frsize, out.NameLen = 4096, 4096, 255
	return 0
}

// Extended attributes are not supported: go-fuse's own answer, no such attribute, breaks sed -i and install.
func (d *directory) Getxattr(context.Context, string, []byte) (uint32, syscall.Errno) {
	return 0, syscall.EOPNOTSUPP
}

func (d *directory) Setxattr(context.Context, string, []byte, uint32) syscall.Errno {
	return syscall.EOPNOTSUPP
}
func (d *directory) Listxattr(context.Context, []byte) (uint32, syscall.Errno) { return 0, 0 }
func (d *directory) Removexattr(context.Context, string) syscall.Errno {
	return syscall.EOPNOTSUPP
}
