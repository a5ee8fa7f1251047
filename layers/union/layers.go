package union

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
	"hull/layers/unpack"
)

const opaqueXattr = "trusted.overlay.opaque"

// openLayers opens the layers as overlay gets them, down to one whose root is
// opaque: overlay itself does not look at that attribute on a root. It returns the
// root of the highest layer that has an entry for it (of the highest at all if
// none has), and whether that is another layer than the highest.
func (m *mount) openLayers() (r root, implied bool, err error) {
	n := len(m.o.Lowers)
	if n == 0 {
		n = len(m.o.Names)
	}
	if n == 0 {
		return r, false, &Error{Op: "an image without layers", Kind: System, Err: unix.EINVAL}
	}
	found := false
	for i := range n {
		l, err := m.openLayer(i)
		if err != nil {
			return r, false, failed("opening a layer", err)
		}
		_, opaque, err := l.Getxattr(opaqueXattr)
		var mark bool
		if err == nil && !found {
			if _, mark, err = l.Getxattr(unpack.ImpliedRoot); err == nil && (!mark || i == 0) {
				r, err = rootOf(l)
				found, implied = !mark, i > 0
			}
		}
		if err == nil {
			err = m.addLayer(i, l)
		} else {
			l.Close()
		}
		if err != nil {
			return r, false, failed("preparing a layer", err)
		}
		if opaque {
			break
		}
	}
	if len(m.lowers) > MaxLayers {
		return r, false, &Error{Op: fmt.Sprintf("the image has %d layers, overlay takes %d", len(m.lowers), MaxLayers), Kind: Limit, Err: unix.E2BIG}
	}
	return r, implied, nil
}

// openLayer opens a layer as it is on disk.
func (m *mount) openLayer(i int) (sys.FD, error) {
	if len(m.o.Lowers) > 0 {
		return sys.Of(m.o.Lowers[i]).Open(".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	}
	return sys.Of(m.o.Tree).Step(m.o.Names[i])
}

// addLayer takes an open layer, or presents it to the container's users in its
// place.
func (m *mount) addLayer(i int, l sys.FD) (err error) {
	if m.o.Users == nil && m.o.Upper == nil {
		_, _ = m.keep(l, nil)
		m.lowers = append(m.lowers, l)
		return nil
	}
	defer l.Close()
	var mapped sys.FD
	if len(m.o.Lowers) > 0 {
		mapped, err = m.idMapped(l)
	} else {
		if m.tree == 0 {
			if m.tree, err = m.idMapped(sys.Of(m.o.Tree)); err != nil {
				return err
			}
		}
		mapped, err = m.keep(m.tree.Step(m.o.Names[i]))
	}
	m.lowers = append(m.lowers, mapped)
	return err
}

// idMapped clones the mount of a directory and maps it to the container's users,
// if they are not the host's. A clone has no path on the host that the container's
// mount table could tell.
func (m *mount) idMapped(dir sys.FD) (sys.FD, error) {
	fd, err := m.clone(dir)
	if err != nil {
		return 0, err
	}
	if m.o.Users == nil {
		return fd, nil
	}
	err = unix.MountSetattr(int(fd), "", unix.AT_EMPTY_PATH, &unix.MountAttr{
		Attr_set:  unix.MOUNT_ATTR_IDMAP,
		Userns_fd: uint64(m.o.Users.Fd()),
	})
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPERM) {
		err = &Error{Op: "presenting the store's files to the container's users (id-mapped mounts)", Kind: Unmapped, Err: err}
	}
	return fd, err
}

// clone makes a detached mount of a directory.
func (m *mount) clone(dir sys.FD) (sys.FD, error) {
	n, err := unix.OpenTree(int(dir), "", unix.AT_EMPTY_PATH|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	fd, err := m.keep(sys.FD(n), err)
	if err == nil {
		m.detached = append(m.detached, fd)
	}
	return fd, err
}
