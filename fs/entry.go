package fs

import (
	"context"
	"fmt"
	"hash/fnv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
)

// entry is a row at a place: what a name in a directory stands for. Entries are made at each look-up and never change.
type entry struct {
	t    *Tree
	row  *row
	obj  object
	name string // as in the directory
	dir  string // path of the directory, "" for the root's; decides how links lead out
	// key is the identity: two entries of one key are the same file. Directories of one object have one key for each
	// path that leads there, because a directory's inode may never appear under two parents.
	key string
	// session is the number of a container's session that the entry belongs to, 0 if to none, and which one of that number.
	session int
	which   string
	// rel is the path in the object's directory, "" for that itself; without an object, from the root of the tree.
	rel string
}

// path is where the entry is in the tree: for a container's directory where it is now, since its inode stays when it is
// renamed.
func (e *entry) path() string {
	if e.obj.kind == containerObject && e.key == "c/"+e.obj.id {
		return e.label()
	}
	if e.dir == "" {
		return e.name
	}
	return e.dir + "/" + e.name
}

// up leads from the entry's directory to the root, for the targets of links.
func (e *entry) up() string { return strings.Repeat("../", strings.Count(e.dir, "/")+1) }

// child is an entry in the directory that e is, for a row of it.
func (e *entry) child(r *row, name string) *entry {
	return &entry{
		t: e.t, row: r, obj: e.obj, name: name, dir: e.path(), key: e.key + "/" + name, session: e.session, which: e.which,
		rel: strings.TrimPrefix(e.rel+"/"+name, "/"),
	}
}

// alive is the error that its object was removed.
func (e *entry) alive() error {
	var err error
	switch e.obj.kind {
	case imageObject:
		_, err = e.image()
	case containerObject:
		_, err = e.container()
	case registryObject:
		_, err = e.registry()
	case layerObject:
		_, err = e.layer()
	case volumeObject:
		_, err = e.volume()
	case networkObject:
		_, err = e.network()
	case noObject:
	}
	return err
}

// label is the path of the entry's object as it is called now, or of the collection.
func (e *entry) label() string {
	switch e.obj.kind {
	case noObject:
		return e.path()
	case containerObject:
		if c, ok := e.t.Containers.Find(e.obj.id); ok {
			return "containers/" + c.Name
		}
	case imageObject, registryObject, layerObject, volumeObject, networkObject:
	}
	return e.obj.path()
}

// times are those of the object: directories carry their object's creation time.
func (e *entry) times() time.Time {
	switch e.obj.kind {
	case imageObject, registryObject, layerObject, volumeObject:
		return e.obj.made
	case networkObject:
		if e.obj.made.Unix() > 0 { // else it is one that nobody made
			return e.obj.made
		}
	case containerObject:
		if c, ok := e.t.Containers.Find(e.obj.id); ok {
			return c.Created
		}
	case noObject:
	}
	return e.t.born
}

// private is the image that the entry belongs to if that is not for everybody to read.
func (e *entry) private() *Image {
	if e.obj.kind != imageObject {
		return nil
	}
	i, err := e.image()
	switch {
	case err != nil:
		return &Image{Private: true} // it has just been removed: nothing of it is shown to everybody any more
	case i.Private:
		return i
	}
	return nil
}

// format is the file type of its inode.
func (e *entry) format() uint32 {
	switch {
	case e.row.kind.directory():
		return syscall.S_IFDIR
	case e.row.kind == linkRow:
		return syscall.S_IFLNK
	}
	return syscall.S_IFREG
}

// attr fills in the attributes. Size is asked of the content, so that it is true.
func (e *entry) attr(ctx context.Context, a *fuse.Attr) {
	e.attrSized(a, e.size(ctx))
}

func (e *entry) attrSized(a *fuse.Attr, size int64) {
	a.Ino = inode(e.key)
	a.Mode = e.format() | e.mode()
	a.Size = uint64(max(0, size))
	a.Nlink = 1 // of a directory too: find takes 2 for having no directories inside
	a.Owner.Uid = e.owner()
	a.Owner.Gid = e.group()
	at := e.times()
	a.SetTimes(&at, &at, &at)
}

// now fills in the attributes of an entry that has been looked up, and gives the entry that it is now: a growing text of
// which the beginning has been dropped is another file, in which the old one's offsets mean nothing.
func (e *entry) now(ctx context.Context, a *fuse.Attr) *entry {
	if e.row.kind != growingRow {
		e.attr(ctx, a)
		return e
	}
	g, err := e.row.growing(ctx, e.t, e)
	if err != nil || g == nil {
		e.attrSized(a, 0)
		return e
	}
	defer g.Close()
	if d, ok := g.(Dropping); ok && d.Number() != 0 {
		other := *e
		other.key += fmt.Sprintf("#%d", d.Number())
		e = &other
	}
	e.attrSized(a, g.Size())
	return e
}

// size is the length of what a read would give now.
func (e *entry) size(ctx context.Context) int64 {
	switch e.row.kind {
	case growingRow:
		g, err := e.row.growing(ctx, e.t, e)
		if err != nil || g == nil {
			return 0
		}
		defer g.Close()
		return g.Size()
	case linkRow:
		return int64(len(e.row.target(e.t, e)))
	case directoryRow, collectionRow, passthroughRow:
		return 0
	case textRow, ctlRow, settingRow, scratchRow, verbRow:
	}
	if s := e.justSized(ctx); s != nil {
		return int64(len(s.b))
	}
	b, err := e.content(ctx)
	if err != nil {
		return 0
	}
	if len(b) <= maxSized {
		e.t.sized.Store(&sizedText{e: e, by: thread(ctx), at: time.Now(), b: b})
	}
	return int64(len(b))
}

// sizedText is a text that was made to tell its size: with the look-up that comes before an open. What the kernel asks
// for the same open(2), its size once more and the open itself, has it and not another: a table of 1,000 containers takes
// a while to make.
type sizedText struct {
	e  *entry
	by caller
	at time.Time
	b  []byte
}

// caller is a thread that asks, with the user it does so as; none of the daemon's own.
type caller struct{ uid, gid, thread uint32 }

func thread(ctx context.Context) caller {
	by, _ := By(ctx)
	return caller{by.UID, by.GID, by.PID}
}

const (
	// sizedFor is how soon an open follows its look-up: both are in one call of the kernel's.
	sizedFor = 10 * time.Millisecond
	maxSized = 1 << 20 // bytes: the latest text stays in memory
)

// opened is the content of a file that is being opened.
func (e *entry) opened(ctx context.Context) ([]byte, error) {
	if s := e.justSized(ctx); s != nil {
		e.t.sized.CompareAndSwap(s, nil)
		return s.b, nil
	}
	return e.content(ctx)
}

// justSized is the text if it was made a moment ago for the same thread; else nil.
func (e *entry) justSized(ctx context.Context) *sizedText {
	s := e.t.sized.Load()
	if s == nil || s.e != e || time.Since(s.at) >= sizedFor {
		return nil
	}
	if by := thread(ctx); by.thread == 0 || by != s.by {
		return nil
	}
	return s
}

// content is what a read of a file that does not grow gives.
func (e *entry) content(ctx context.Context) ([]byte, error) {
	switch e.row.kind {
	case textRow:
		return e.row.text(ctx, e.t, e)
	case ctlRow:
		return usage(e.row.commands), nil
	case verbRow:
		return e.t.script(e), nil
	case settingRow:
		v, err := e.setting()
		return []byte(v), err
	case scratchRow:
		return e.t.scratch.read(e.obj.id, e.name)
	case directoryRow, collectionRow, growingRow, linkRow, passthroughRow:
	}
	return nil, fail(System, "read", e.path(), e.path()+" has no content.")
}

// inode is the number for a key. The bit keeps clear of 0, 1 and of numbers of passthrough trees.
func inode(key string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(key))
	return h.Sum64()&(1<<62-1) | 1<<61
}

var generation atomic.Uint64

// stable is the identity go-fuse knows the entry by. Of a regular file or link each look-up makes a new one, but see
// lookups.
func (e *entry) stable(by Credential) fusefs.StableAttr {
	s := fusefs.StableAttr{Mode: e.format(), Ino: inode(e.key)}
	switch {
	case e.row.kind.directory():
	case e.row.kind == verbRow:
		s.Gen = e.t.lookups.same(by.PID, e.key)
	default:
		s.Gen = generation.Add(1)
	}
	return s
}

// node makes the entry's node.
func (e *entry) node() fusefs.InodeEmbedder {
	switch {
	case e.row.kind.directory():
		return &directory{e: e, place: e.place()}
	case e.row.kind == linkRow:
		return &symlink{e: e}
	}
	return &file{e: e}
}

// place is what the entry shows as a directory.
func (e *entry) place() place {
	if e.row.open != nil {
		return e.row.open(e.t, e)
	}
	return &fixed{e: e}
}
