package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
)

// View opens the container's file system, whether it runs or not, with its volumes and the host's files at their places.
// While it runs this is a second look at the very mount it runs on; else a mount of its own, which a start that comes
// meanwhile takes over.
func (e *Engine) View(ctx context.Context, id string) (*View, error) { return e.viewOf(ctx, id, true) }

// OwnView is View without what is mounted in it: the container's own files and no others.
func (e *Engine) OwnView(ctx context.Context, id string) (*View, error) {
	return e.viewOf(ctx, id, false)
}

func (e *Engine) viewOf(ctx context.Context, id string, whole bool) (*View, error) {
	s, err := e.lookup("view", id)
	if err != nil {
		return nil, err
	}
	v, err := e.look(ctx, s, whole)
	if err != nil {
		return nil, err
	}
	release := v.Release
	v.Release = func() {
		s.commands.touched.Add(1) // who looked may have written
		release()
	}
	return v, nil
}

// look opens a view.
func (e *Engine) look(ctx context.Context, s *supervisor, whole bool) (*View, error) {
	made := make(chan *View, 1)
	err := s.ask(ctx, "view", func(answer func(error)) { //nolint:contextcheck // what is opened is for later views, too
		v, err := s.openView(whole)
		if err == nil {
			made <- v
		}
		close(made)
		answer(err)
	})
	if err == nil {
		return <-made, nil
	}
	if KindOf(err) == Interrupted {
		e.spawn(func() { // whoever asked is gone; what is made yet must be given back
			select {
			case v := <-made:
				if v != nil {
					v.Release()
				}
			case <-s.done:
			}
		})
	}
	return nil, err
}

// openView gives one more view.
func (s *supervisor) openView(whole bool) (*View, error) {
	if s.st.State == Dead {
		return nil, fail("view", s.id, Invalid, "the container %s is dead: %s", s.rec.Name, s.st.Error)
	}
	s.yieldView(s.hostUsers(), 0)
	mounts := s.shownMounts()
	print := s.fingerprint(mounts)
	if v, err := s.view.open(print, whole); v != nil || err != nil {
		return v, err
	}
	if base, ok := s.view.lent(); ok { // other things are mounted in it now
		if err := s.refillView(mounts, print, base); err != nil {
			return nil, fail("view", s.id, kindOfErrno(err), "the container's file system cannot be opened: %w", err)
		}
		return s.view.open(print, whole)
	}
	var mount, space *os.File
	var held *lease
	var err error
	live := s.st.State.Alive()
	if live {
		if s.st.Run.Range != 0 && s.lease.hold() {
			held = s.lease
		}
		mount, space, err = mountOf(s.st.Run.PID, s.run.pidfd)
	} else {
		mount, held, err = s.mountStopped()
	}
	if err != nil {
		if held != nil {
			held.drop()
		}
		return nil, fail("view", s.id, kindOfErrno(err), "the container's file system cannot be opened: %w", err)
	}
	s.view.set(mount, space, held, live, s.hostUsers())
	if len(mounts) > 0 {
		base, _ := s.view.lent()
		if err := s.refillView(mounts, print, base); err != nil {
			s.view.tidy()
			return nil, fail("view", s.id, kindOfErrno(err), "the container's file system cannot be opened: %w", err)
		}
	}
	return s.view.open(print, whole)
}

// mountStopped mounts the file system of a container that does not run.
func (s *supervisor) mountStopped() (*os.File, *lease, error) {
	image, err := s.findImage()
	if errors.Is(err, ErrPulling) {
		return nil, nil, fail("view", s.id, Busy, "the image %s is still being pulled", s.imageName())
	}
	if err != nil {
		return nil, nil, err
	}
	if s.unmount != nil {
		select {
		case <-s.unmount:
		case <-s.e.ctx.Done():
			return nil, nil, s.e.ctx.Err()
		}
	}
	disk, err := os.Open(filepath.Join(s.dir, diskDir))
	if err != nil {
		return nil, nil, err
	}
	defer disk.Close()
	users, held, err := s.viewUsers()
	if err != nil {
		return nil, nil, err
	}
	defer closeAll(users)
	base := uint32(0)
	if held != nil {
		base = held.first
	}
	m, err := s.e.o.Roots.Mount(s.e.ctx, image.ID, disk, users, base, false)
	return m, held, err
}

// viewUsers is a user namespace with the mapping that a start will want, so that it can take the mount over.
func (s *supervisor) viewUsers() (*os.File, *lease, error) {
	if s.hostUsers() {
		return nil, nil, nil
	}
	l := s.lease
	if !l.hold() {
		var ok bool
		if l, ok = s.e.ranges.lease(s.st.Run.Range); !ok {
			return nil, nil, nil // all are taken: shown as on disk
		}
		s.lease = l
	}
	users, err := s.e.parts.launcher.Users(s.e.ctx, l.first, rangeSize)
	if err != nil || users == nil {
		l.drop()
		return nil, nil, err
	}
	return users, l, nil
}

// hostUsers tells whether the run under way has the host's users, or the next one will.
func (s *supervisor) hostUsers() bool {
	if s.st.State.Alive() && s.st.Run.Process != nil {
		return s.st.Run.Process.Privileges.HostUsers
	}
	return s.set.privileges().HostUsers
}

// yieldWithin is how long a start waits for somebody who walks through the container's files to have nothing open for a
// moment.
const yieldWithin = 2 * time.Second

// yieldView has those who look give back a mount that is not for a container with the host's users, or with users of its
// own, as is wanted now: there is never a second overlay on one upper directory. False if somebody keeps it.
func (s *supervisor) yieldView(host bool, within time.Duration) bool {
	if s.view.differs(host) && s.e.o.Yield != nil {
		s.e.o.Yield(s.id, within)
	}
	return !s.view.differs(host)
}

// openTree makes a detached second mount of what a path leads to, without the mounts below it. It can be written to, even
// if the first is the root of a container that cannot write to it.
func openTree(dir int, path string, flags uint) (*os.File, error) {
	fd, err := unix.OpenTree(dir, path, flags|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("open_tree", err)
	}
	root := os.NewFile(uintptr(fd), "root")
	if err := sys.MakeWritable(root); err != nil {
		root.Close()
		return nil, err
	}
	return root, nil
}

// mountOf makes a second mount of the root of a process, without what is mounted in it, and answers the mount namespace
// it comes from: the kernel clones a clone only there, even when the process has ended.
func mountOf(pid int, pidfd *os.File) (mount, space *os.File, err error) {
	space, err = os.Open("/proc/" + strconv.Itoa(pid) + "/ns/mnt")
	if err == nil { // the number is still the process's own, if that can be signalled
		err = os.NewSyscallError("pidfd_send_signal", unix.PidfdSendSignal(int(pidfd.Fd()), 0, nil, 0))
	}
	if err == nil {
		mount, err = rootOf(space)
	}
	if err != nil {
		closeAll(space)
		return nil, nil, err
	}
	return mount, space, nil
}

// rootOf makes a second mount of the root of a mount namespace. open_tree clones only what is in the caller's own, so a
// thread of its own goes there and is thrown away.
func rootOf(space *os.File) (*os.File, error) {
	type result struct {
		mount *os.File
		err   error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		m, err := func() (*os.File, error) {
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return nil, os.NewSyscallError("unshare", err)
			}
			if err := unix.Setns(int(space.Fd()), unix.CLONE_NEWNS); err != nil {
				return nil, os.NewSyscallError("setns", err)
			}
			return openTree(unix.AT_FDCWD, "/", 0)
		}()
		done <- result{m, err}
	}()
	r := <-done
	return r.mount, r.err
}
