package layers

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

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
	err  error

	// Guarded by views.mu.
	refs  int
	gone  bool // no longer to be found: closed with its last reference
	timer *time.Timer
}

// View is an image's file system, read-only, as it is on disk (owners are the
// image's). It is mounted when first looked at, shared, and dropped when nobody
// has used it for a while. Call release when done with dir, and do not close dir.
func (s *Store) View(ctx context.Context, imageID string) (dir *os.File, release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, wrap("view", imageID, err)
	}
	v := s.views.take(imageID)
	if v == nil {
		return nil, nil, failf("view", imageID, Cancelled, "%w", errClosed)
	}
	v.once.Do(func() { v.dir, v.err = s.mountUnion("view", imageID, union.Options{ReadOnly: true, NoSuid: true}) })
	release = sync.OnceFunc(func() { s.views.release(imageID, v) })
	if v.err != nil {
		release()
		return nil, nil, v.err
	}
	return v.dir, release, nil
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
	if v.err != nil || v.gone || vs.closed {
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
	v.gone = true
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
		v.gone = true
		if v.refs == 0 {
			vs.unmount(id, v)
		}
	}
}
