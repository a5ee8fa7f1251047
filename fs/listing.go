package fs

import (
	"context"
	"slices"
	"strings"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// listing is an open directory. What it shows is made when it is first read, and anew when it is read from the start.
type listing struct {
	d    *directory
	made bool
	list []fuse.DirEntry
	at   int
}

var (
	_ fusefs.FileReaddirenter = (*listing)(nil)
	_ fusefs.FileSeekdirer    = (*listing)(nil)
	_ fusefs.FileLookuper     = (*listing)(nil)
)

// OpendirHandle opens a directory.
func (d *directory) OpendirHandle(context.Context, uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	if d.e.alive() != nil {
		return nil, 0, syscall.ESTALE
	}
	return &listing{d: d}, 0, 0
}

// Readdirent gives the next entry. go-fuse makes one call after the other.
func (l *listing) Readdirent(ctx context.Context) (*fuse.DirEntry, syscall.Errno) {
	if !l.made {
		if errno := l.make(ctx); errno != 0 {
			return nil, errno
		}
	}
	if l.at >= len(l.list) {
		return nil, 0
	}
	e := l.list[l.at]
	l.at++
	e.Off = uint64(l.at)
	return &e, 0
}

func (l *listing) make(ctx context.Context) syscall.Errno {
	d := l.d
	if d.e.alive() != nil {
		return syscall.ESTALE
	}
	es, err := d.place.list(d.e.t.caller(ctx))
	if err != nil {
		return Errno(err)
	}
	l.list = make([]fuse.DirEntry, 0, len(es)+2)
	l.list = append(l.list, fuse.DirEntry{Name: ".", Mode: syscall.S_IFDIR, Ino: inode(d.e.key)},
		fuse.DirEntry{Name: "..", Mode: syscall.S_IFDIR, Ino: inode(d.e.key + "/..")})
	for _, e := range es {
		l.list = append(l.list, fuse.DirEntry{Name: e.name, Mode: e.format(), Ino: inode(e.key)})
	}
	slices.SortFunc(l.list[2:], func(a, b fuse.DirEntry) int { return strings.Compare(a.Name, b.Name) })
	l.made, l.at = true, 0
	return 0
}

// Seekdir goes to an offset that an entry had. From the start, what is there by then is shown.
func (l *listing) Seekdir(ctx context.Context, off uint64) syscall.Errno {
	if off == 0 || !l.made {
		if errno := l.make(ctx); errno != 0 {
			return errno
		}
	}
	if off > uint64(len(l.list)) {
		return syscall.EINVAL
	}
	l.at = int(off)
	return 0
}

// Lookup tells with a listing of containers/ what its directories are (READDIRPLUS), so that ls -l of 1,000 does not ask
// for each of them. Of everything else it declines, as for trees of other people's files: every look-up of a regular file
// here makes a fresh inode, and 10,000 containers would be 350,000 of them. The kernel takes an entry without an inode for
// just a name.
func (l *listing) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	p, ok := l.d.place.(*containers)
	if !ok {
		return nil, syscall.ENOSYS
	}
	c, ok := p.e.t.Containers.Find(name)
	if !ok || c.Name != name {
		return nil, syscall.ENOENT
	}
	p.e.t.listed.note()
	e := p.entry(c)
	in := l.d.known(e)
	if in == nil {
		in = l.d.add(ctx, e, out)
	} else {
		e.attr(ctx, &out.Attr)
		out.SetAttrTimeout(attrTimeout)
	}
	out.SetEntryTimeout(listedFor)
	return in, 0
}

// known is the node that a directory in this one has already, nil if it has none: no second one is made to be thrown away.
func (d *directory) known(e *entry) *fusefs.Inode {
	in := d.GetChild(e.name)
	if in == nil {
		return nil
	}
	if x, ok := in.Operations().(*directory); ok && x.e.key == e.key && x.e.row == e.row {
		return in
	}
	return nil
}
