package engine

import (
	"os"
	"sync"
)

// rootView is the mount behind the views of one container: one at a time, shared by all of them. The supervisor makes
// it; views may be given back at any time, even after the container is gone.
type rootView struct {
	mu    sync.Mutex
	mount *os.File
	space *os.File // the mount namespace it was cloned from or is in, the only one it can be cloned in again; nil: any
	print string   // what is mounted in it
	want  string   // what a new one would have mounted in it
	lease *lease   // keeps the range its owners are shown in; nil if they are shown as they are on disk
	host  bool     // it is for a container with the host's users
	live  bool     // it is the mount of the run under way: kept for later views
	refs  int      // views of this mount
	count int      // of mounts so far: a view of an earlier one does not count
}

// set makes a mount the one behind the views.
func (v *rootView) set(mount, space *os.File, l *lease, live, host bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mount, v.space, v.lease, v.live, v.host, v.refs, v.print = mount, space, l, live, host, 0, ""
	v.count++
}

// open gives one more view of the mount, with what is mounted in it or without; nil if there is none, or if it has
// other things mounted in it.
func (v *rootView) open(print string, whole bool) (*View, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.mount == nil || v.print != print {
		return nil, nil
	}
	look := func() (*os.File, error) { return dup(v.mount) }
	if !whole && v.print != "" {
		look = func() (*os.File, error) { return rootOf(v.space) }
	}
	dir, err := look()
	if err != nil {
		return nil, err
	}
	view := &View{Dir: dir, Base: v.base()}
	v.refs++
	var once sync.Once
	of := v.count
	view.Gone = func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.want != print || v.count != of // or it was forgotten
	}
	view.Release = func() {
		once.Do(func() {
			dir.Close()
			v.release(of)
		})
	}
	return view, nil
}

// base is the first id of the range that owners are shown in, 0 if they are as on disk. The caller holds mu.
func (v *rootView) base() uint32 {
	if v.lease == nil {
		return 0
	}
	return v.lease.first
}

// differs tells whether somebody looks at a mount that is not for a container with the host's users, or for one with
// users of its own, as a start wants it to be.
func (v *rootView) differs(host bool) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.mount != nil && v.host != host
}

// idle tells whether nobody looks.
func (v *rootView) idle() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.mount == nil
}

// release takes a view off; the last one of a container that does not run takes the mount with it.
func (v *rootView) release(of int) {
	v.mu.Lock()
	if v.count == of {
		v.refs--
	}
	v.unlockAndTidy()
}

// runEnded says that the mount is no longer that of a run.
func (v *rootView) runEnded() {
	v.mu.Lock()
	v.live = false
	v.unlockAndTidy()
}

// forget drops the mount from here: it lasts as long as views of it, but nothing comes back to it.
func (v *rootView) forget() {
	v.mu.Lock()
	v.live, v.refs = false, 0
	v.count++
	v.unlockAndTidy()
}

// tidy drops the mount if nobody looks and it is no run's.
func (v *rootView) tidy() {
	v.mu.Lock()
	v.unlockAndTidy()
}

// unlockAndTidy drops the mount if nothing needs it. Closing the last descriptor of an overlay may write out its whole
// file system: never under the lock.
func (v *rootView) unlockAndTidy() {
	if v.live || v.refs > 0 || v.mount == nil {
		v.mu.Unlock()
		return
	}
	mount, space, l := v.mount, v.space, v.lease
	v.mount, v.space, v.lease = nil, nil, nil
	v.mu.Unlock()
	closeAll(mount, space)
	if l != nil {
		l.drop()
	}
}

// clone makes a second mount of the one behind the views, for a start with a range; nil if there is none, or none with
// the range's owners. The mount is then the run's, until runEnded.
func (v *rootView) clone(first uint32) (*os.File, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.mount == nil || v.base() != first || first == 0 && !v.host {
		return nil, nil
	}
	m, err := v.second()
	v.live = v.live || err == nil
	return m, err
}
