package layers

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"hull/layers/union"
)

// Mount puts an image together for a container: a detached overlay mount of its
// layers with the container's directory upper (nil = only read) on top. users and
// base are the container's user namespace and the first host id of its range; nil
// and 0 present the ids as they are on disk. The container must hold the image.
func (s *Store) Mount(ctx context.Context, imageID string, upper, users *os.File, base uint32, readOnly bool) (*os.File, error) {
	if err := ctx.Err(); err != nil {
		return nil, wrap("mount", imageID, err)
	}
	return s.mountUnion("mount", imageID, union.Options{Upper: upper, Users: users, Base: base, ReadOnly: readOnly})
}

// mountUnion mounts an image's layers in the way that o says.
func (s *Store) mountUnion(op, imageID string, o union.Options) (*os.File, error) {
	s.mu.Lock()
	st := s.images[imageID]
	s.mu.Unlock()
	if st == nil {
		return nil, failf(op, imageID, NotFound, "there is no such image here")
	}
	o.Tree = s.layersDir
	o.Behind = func(f func()) {
		if !s.goDo(f) { // the store is closing
			f()
		}
	}
	for _, key := range st.stack() {
		o.Names = append(o.Names, layerName(key)+"/diff")
	}
	m, err := union.Mount(o)
	if errors.Is(err, os.ErrNotExist) {
		return nil, failf(op, imageID, Removed, "a layer of it is not in the store any more; pull it again")
	}
	return m, wrap(op, imageID, err)
}

// views are the images that are mounted for browsing.
type views struct {
	idle time.Duration

	mu     sync.Mutex
	byID   map[string]*view
	closed bool
}

// view is one image's read-only mount, shared by all who look at it.
type view struct {
	once sync.Once
	dir  *os.File
	mark uint64
	err  error

	// Guarded by views.mu.
	refs  int
	timer *time.Timer

	gone atomic.Bool // no longer to be found: closed with its last reference
}

// View is an image that is mounted for browsing.
type View struct {
	Dir     *os.File // its top; do not close it
	Mark    uint64   // the same as long as the layers beneath are the very same directories
	Gone    func() bool
	Release func()
}

// View gives an image's file system, read-only, as it is on disk (owners are the
// image's). It is mounted when first looked at, shared, and dropped when nobody
// has used it for a while. Gone tells when the image was removed or mended: what
// is beneath is being deleted then, and who looks should let go.
func (s *Store) View(ctx context.Context, imageID string) (*View, error) {
	if err := ctx.Err(); err != nil {
		return nil, wrap("view", imageID, err)
	}
	v := s.views.take(imageID)
	if v == nil {
		return nil, failf("view", imageID, Cancelled, "%w", errClosed)
	}
	v.once.Do(func() {
		v.mark = s.mark(imageID)
		v.dir, v.err = s.mountUnion("view", imageID, union.Options{ReadOnly: true, NoSuid: true})
	})
	release := sync.OnceFunc(func() { s.views.release(imageID, v) })
	if v.err != nil {
		release()
		return nil, v.err
	}
	return &View{Dir: v.dir, Mark: v.mark, Gone: v.gone.Load, Release: release}, nil
}

// mark makes a number of which directories an image's layers are. An image that
// was removed and pulled again has the same ID and other directories.
func (s *Store) mark(imageID string) uint64 {
	s.mu.Lock()
	st := s.images[imageID]
	s.mu.Unlock()
	if st == nil {
		return 0
	}
	h := fnv.New64a()
	for _, key := range st.stack() {
		var x unix.Statx_t
		err := unix.Statx(int(s.layersDir.Fd()), layerName(key)+"/diff", unix.AT_SYMLINK_NOFOLLOW, unix.STATX_INO|unix.STATX_BTIME, &x)
		_, _ = fmt.Fprintln(h, key, x.Ino, x.Btime.Sec, x.Btime.Nsec, err) // a hash takes everything
	}
	return h.Sum64()
}

// take finds or makes a view and counts a reference; nil when closed.
func (vs *views) take(id string) *view {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if vs.closed {
		return nil
	}
	if vs.byID == nil {
		vs.byID = map[string]*view{}
	}
	v := vs.byID[id]
	if v == nil {
		v = &view{}
		vs.byID[id] = v
	}
	if v.timer != nil {
		v.timer.Stop()
		v.timer = nil
	}
	v.refs++
	return v
}

// release gives a reference back. The last one leaves the view for its idle time,
// unless it has failed or its image is gone.
func (vs *views) release(id string, v *view) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	v.refs--
	if v.refs > 0 {
		return
	}
	if v.err != nil || v.gone.Load() || vs.closed {
		vs.unmount(id, v)
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(vs.idle, func() {
		vs.mu.Lock()
		defer vs.mu.Unlock()
		if v.timer == timer {
			vs.unmount(id, v)
		}
	})
	v.timer = timer
}

// unmount closes a view that nobody refers to; its mount is a detached one that
// goes with its descriptor. The caller holds mu.
func (vs *views) unmount(id string, v *view) {
	if v.timer != nil {
		v.timer.Stop()
		v.timer = nil
	}
	if vs.byID[id] == v {
		delete(vs.byID, id)
	}
	if v.dir != nil {
		_ = v.dir.Close() // nothing was written
		v.dir = nil
	}
}

// drop takes away the view of an image that was removed. Who looks at it still
// keeps it until he is done.
func (vs *views) drop(id string) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	v := vs.byID[id]
	if v == nil {
		return
	}
	delete(vs.byID, id)
	v.gone.Store(true)
	if v.refs == 0 {
		vs.unmount(id, v)
	}
}

// close drops every view nobody refers to, and the others with their last
// reference.
func (vs *views) close() {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	vs.closed = true
	for id, v := range vs.byID {
		v.gone.Store(true)
		if v.refs == 0 {
			vs.unmount(id, v)
		}
	}
}
