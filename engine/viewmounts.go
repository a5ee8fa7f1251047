package engine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
	"hull/engine/launch"
)

// shownMounts are what a view shows mounted in the container's files: the volumes and the host's files of the run under
// way, or of the next one as far as there are any yet.
func (s *supervisor) shownMounts() []mount {
	var all []mount
	if s.st.State.Alive() && s.st.Run.Process != nil {
		all = s.st.Run.Process.Mounts
	} else if mounts, err := s.set.mounts(s.imageOrNone()); err == nil {
		all = mounts
	}
	var list []mount
	for _, m := range all {
		if m.Anonymous && m.Source == "" {
			m.Source = s.rec.Volumes[m.Target]
		}
		if m.Kind != tmpfsMount && m.Source != "" {
			list = append(list, m)
		}
	}
	return list
}

// fingerprint tells whether two lists of mounts would look the same; "" is that of none.
func (s *supervisor) fingerprint(mounts []mount) string {
	var b strings.Builder
	for _, m := range mounts {
		// A run makes the places that are missing, which nobody who only looks does.
		fmt.Fprintf(&b, "%s %q %q %v %v %v", m.Kind, m.Source, m.Target, m.ReadOnly, m.Alone, s.ranAt(m.Target))
		if m.Kind == volumeMount {
			mark, made, ok := s.e.volumes.Mark(m.Source)
			fmt.Fprint(&b, " ", mark, made, ok)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// wants says what a new view would show.
func (v *rootView) wants(print string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.want = print
}

// lent tells whether there is a mount, and the first id of the range its owners are shown in.
func (v *rootView) lent() (base uint32, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.mount != nil && v.lease != nil {
		base = v.lease.first
	}
	return base, v.mount != nil
}

// refillView puts another mount behind the views: of the same file system, with these things mounted in it. Views that
// were opened before keep theirs.
func (s *supervisor) refillView(mounts []mount, print string, base uint32) error {
	root, err := s.view.bare()
	if err != nil {
		return err
	}
	trees, err := s.viewTrees(mounts, base)
	if err != nil {
		closeAll(root)
		return err
	}
	space, err := assemble(root, trees)
	for _, t := range trees {
		closeAll(t.Tree)
	}
	if err != nil {
		closeAll(root)
		return err
	}
	v := &s.view
	v.mu.Lock()
	old, before := v.mount, v.space
	v.mount, v.space, v.print, v.want = root, space, print, print
	v.mu.Unlock()
	closeAll(old, before)
	return nil
}

// bare makes a second mount of the one behind the views, without what is mounted in it.
func (v *rootView) bare() (*os.File, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.second()
}

// second makes a second mount of the one behind the views, with mu held. Before Linux 6.15 only what has a place in a
// mount namespace can be cloned, so it is given one.
func (v *rootView) second() (*os.File, error) {
	if v.space == nil {
		m, err := openTree(int(v.mount.Fd()), "", unix.AT_EMPTY_PATH)
		if !errors.Is(err, unix.EINVAL) {
			return m, err
		}
		if v.space, err = assemble(v.mount, nil); err != nil {
			return nil, err
		}
	}
	return rootOf(v.space)
}

// viewPatience is how long a path of the host may take to be opened for somebody who only looks.
const viewPatience = 2 * time.Second

// viewTrees opens what is to be mounted for looking at. What cannot be opened is left out.
func (s *supervisor) viewTrees(mounts []mount, base uint32) (trees []launch.Mount, err error) {
	var users *os.File
	if base != 0 {
		if users, err = s.e.parts.launcher.Users(s.e.ctx, base, rangeSize); err != nil {
			return nil, err
		}
		defer closeAll(users)
	}
	for _, m := range mounts {
		if t, err := s.viewTree(m, mountedAs{users: users, first: base}); err == nil {
			trees = append(trees, launch.Mount{Target: m.Target, Tree: t})
		} else {
			s.e.o.Logger.Debug("a mount of a container is not shown", "container", s.id, "op", "view", "err", err)
		}
	}
	return trees, nil
}

func (s *supervisor) viewTree(m mount, as mountedAs) (*os.File, error) {
	if m.Kind == volumeMount {
		v, err := s.e.volumes.Look(m.Source)
		if err != nil {
			return nil, err
		}
		defer v.Dir.Close()
		return s.mountTree(v.Dir, m, as)
	}
	f, err := s.openHost(m, viewPatience)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return s.mountHost(f, m, as)
}

// assemble makes a mount namespace in which root is the root, with the trees at their places as far as there are such:
// nothing is made for somebody who only looks. root becomes the top of it; it lasts as long as the namespace is open. A
// tree cannot be mounted in a root that is mounted nowhere (before Linux 6.15).
func assemble(root *os.File, trees []launch.Mount) (space *os.File, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		space, err = assembleHere(root, trees)
	}()
	<-done
	return space, err
}

func assembleHere(root *os.File, trees []launch.Mount) (*os.File, error) {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return nil, os.NewSyscallError("unshare", err)
	}
	space, err := os.Open("/proc/thread-self/ns/mnt")
	if err != nil {
		return nil, err
	}
	if err := becomeRoot(root); err != nil {
		closeAll(space)
		return nil, err
	}
	for _, t := range trees {
		at, err := sys.OpenIn(root, t.Target[1:], unix.O_PATH, 0)
		if err != nil {
			continue
		}
		// One is a directory and the other a file: that is refused, and not shown.
		_ = unix.MoveMount(int(t.Tree.Fd()), "", int(at.Fd()), "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
		at.Close()
	}
	return space, nil
}

// becomeRoot makes a detached mount the root of the thread's own mount namespace, and lets go of all else there.
func becomeRoot(root *os.File) error {
	const place = "/proc" // any directory that every host has
	for _, call := range []struct {
		name string
		do   func() error
	}{
		{"mount", func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") }},
		{"move_mount", func() error {
			return unix.MoveMount(int(root.Fd()), "", unix.AT_FDCWD, place, unix.MOVE_MOUNT_F_EMPTY_PATH)
		}},
		{"fchdir", func() error { return unix.Fchdir(int(root.Fd())) }},
		{"pivot_root", func() error { return unix.PivotRoot(".", ".") }},
		{"umount2", func() error { return unix.Unmount(".", unix.MNT_DETACH) }},
		{"chdir", func() error { return unix.Chdir("/") }},
	} {
		if err := call.do(); err != nil {
			return os.NewSyscallError(call.name, err)
		}
	}
	return nil
}
