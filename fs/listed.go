package fs

import (
	"sync/atomic"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
)

// listedFor is how long the kernel need not ask again for what came with a listing of containers/: until ls -l has looked
// at all that came with one read.
const listedFor = 50 * time.Millisecond

// listedLately is how long what came with a listing may be thought to have some effect: a reply may be on its way.
const listedLately = 2 * time.Second

// listed is when the kernel was last told something that it need not ask again for. Whoever removes, renames or gives
// away a container must not meet that later.
//
// A removed one's attributes are called back, at which the kernel asks and hears that it is gone; it does so at once for
// a name that is to be made. This waits for no lock. A name that has become another's must be called back itself, for
// which the kernel locks the directory.
type listed struct{ at atomic.Int64 }

func (l *listed) note() { l.at.Store(time.Now().UnixNano()) }

func (l *listed) lately() bool { return time.Since(time.Unix(0, l.at.Load())) < listedLately }

// calledBack has the kernel ask for the attributes of a container's directory before it shows them again. It waits for
// nobody.
func (t *Tree) calledBack(id, name string) {
	if !t.listed.lately() {
		return
	}
	if in := t.listedAs(id, name); in != nil {
		_ = in.NotifyContent(-1, 0) // it may not know it any more
	}
}

// renamed has the kernel ask for a container's old name before it shows it again.
func (t *Tree) renamed(id, from string) {
	if t.listed.lately() && t.listedAs(id, from) != nil {
		_ = t.top.Load().GetChild("containers").NotifyEntry(from) // as above
	}
}

// Destroyed tells that a container is no more.
func (t *Tree) Destroyed(id, name string) {
	t.calledBack(id, name)
	t.Gone("containers/" + id)
}

// listedAs is the node that the kernel may know a container's directory by, nil if there is none.
func (t *Tree) listedAs(id, name string) *fusefs.Inode {
	top := t.top.Load()
	if top == nil {
		return nil
	}
	all := top.GetChild("containers")
	if all == nil {
		return nil
	}
	in := all.GetChild(name)
	if in == nil {
		return nil
	}
	if d, ok := in.Operations().(*directory); ok && d.e.obj == (object{kind: containerObject, id: id}) {
		return in
	}
	return nil
}
