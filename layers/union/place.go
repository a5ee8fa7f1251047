package union

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
)

// needPlace is set once this kernel has been found to want layers that have a place in
// a mount table: before Linux 6.15 overlay takes no detached mount as a layer, before
// 6.5 it is not even told of layers one by one.
var needPlace atomic.Bool

// workshop is where mounts get their place, in a mount namespace that lives for the
// length of one call: any directory that every host has does.
const workshop = "/sys"

// createPlaced is create for those kernels. A thread of its own gets a mount
// namespace, attaches all layers in it, mounts the union with mount(2) and takes a
// detached clone of that. When the thread ends, the namespace and all places in it are
// gone; the union has its own hold on what it needs.
func (m *mount) createPlaced() error {
	if err := m.detachAll(); err != nil {
		return failed("cloning the mounts of the layers", err)
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
		err := m.enterWorkshop()
		if err == nil && m.o.Upper != nil && m.o.Users != nil {
			err = withIDs(m.o.Base, m.mountPlaced)
		} else if err == nil {
			err = m.mountPlaced()
		}
		done <- err
	}()
	return <-done
}

// detachAll has every layer in a detached mount that is ours to attach. Beside an upper layer, or for users of the
// container's own, they all are in one already, and what is in a detached mount cannot be cloned again.
func (m *mount) detachAll() error {
	if m.o.Users != nil || m.o.Upper != nil {
		return nil
	}
	for i, l := range m.lowers {
		if m.isDetached(l) {
			continue
		}
		clone, err := m.clone(l)
		if err != nil {
			return err
		}
		m.lowers[i] = clone
	}
	return nil
}

// isDetached tells whether a layer is the empty one, which is made detached.
func (m *mount) isDetached(fd sys.FD) bool { return fd == m.empty }

// enterWorkshop gives this thread a mount namespace and attaches there what is
// detached, so that the descriptors of layers lead to places in it.
func (m *mount) enterWorkshop() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return failed("making a place to mount in", err)
	}
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if err == nil {
		err = unix.Mount("tmpfs", workshop, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755")
	}
	for i, d := range m.detached {
		name := fmt.Sprintf("%s/%d", workshop, i)
		if err == nil {
			err = unix.Mkdir(name, 0o755)
		}
		if err == nil {
			err = unix.MoveMount(int(d), "", unix.AT_FDCWD, name, unix.MOVE_MOUNT_F_EMPTY_PATH)
		}
	}
	if err == nil {
		err = unix.Mkdir(workshop+"/union", 0o755)
	}
	if err == nil {
		err = unix.Chdir("/proc/self/fd") // mount(2) takes a page of options: names must be short
	}
	return failed("making a place to mount in", err)
}

// mountPlaced mounts the union and takes a clone of it.
func (m *mount) mountPlaced() error {
	const at = workshop + "/union"
	if err := unix.Mount("hull", at, "overlay", m.flags(), m.options()); err != nil {
		return failed("creating the union", err)
	}
	n, err := unix.OpenTree(unix.AT_FDCWD, at, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err == nil && m.flags()&unix.MS_RDONLY == 0 {
		if err = m.writable(n); err != nil {
			sys.FD(n).Close()
		}
	}
	if err != nil {
		return failed("mounting the union", err)
	}
	m.result = sys.FD(n)
	return nil
}

func (m *mount) flags() uintptr {
	flags := uintptr(unix.MS_NODEV)
	if m.o.ReadOnly || m.o.Upper == nil {
		flags |= unix.MS_RDONLY
	}
	if m.o.NoSuid {
		flags |= unix.MS_NOSUID
	}
	return flags
}

// options is the text of mount(2), with descriptors for names.
func (m *mount) options() string {
	names := make([]string, len(m.lowers))
	for i, l := range m.lowers {
		names[i] = strconv.Itoa(int(l))
	}
	all := []string{"lowerdir=" + strings.Join(names, ":")}
	for _, s := range m.settings() {
		all = append(all, s[0]+"="+s[1])
	}
	if m.o.Upper != nil {
		all = append(all, fmt.Sprintf("upperdir=%d,workdir=%d", m.upper, m.work))
		if m.o.Volatile {
			all = append(all, "volatile")
		}
	}
	return strings.Join(all, ",")
}

// lacksPlace tells whether a failure may be for want of a place.
func lacksPlace(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP)
}
