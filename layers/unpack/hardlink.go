package unpack

import (
	"archive/tar"
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// hardLink gives a file a second name. The target is a path in the image, with or
// without a leading "/"; a symbolic link is linked to itself, not to what it
// names. The link's own header says nothing new about the file.
func (u *unpacker) hardLink(h *tar.Header, n name) error {
	t, err := parseName(h.Linkname, u.o.Limits.Depth)
	if err != nil {
		return err
	}
	if t.white || t.opaque || t.skip {
		return hostile("", "it is a hard link to the whiteout %q", h.Linkname)
	}
	if t.base == "" {
		return corrupt("", "it is a hard link to a directory")
	}
	from, err := u.linkTarget(t)
	if err != nil {
		return err
	}
	from.pins++
	defer func() { from.pins-- }()
	d, err := u.dirs.open(n.parent, true)
	if err != nil {
		return err
	}
	err = from.fd.Link(t.base, d.fd, n.base)
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if from == d && t.base == n.base {
		return nil // to itself
	}
	if strings.HasPrefix(from.path+"/", join(d.path, n.base)+"/") {
		return corrupt("", "it would replace the directory that holds its target %q", h.Linkname)
	}
	if err := d.fd.Lstat(n.base, &u.stat); err != nil {
		return err
	}
	if err := u.remove(d, n.base, &u.stat); err != nil {
		return err
	}
	return from.fd.Link(t.base, d.fd, n.base)
}

// linkTarget finds the directory of a link's target, and makes sure that the
// target is in it: a file of the layers below is copied up.
func (u *unpacker) linkTarget(t name) (*dir, error) {
	missing := func() error {
		return corrupt("", "it is a hard link to %q, which does not exist", t.path())
	}
	d, err := u.dirs.open(t.parent, false)
	if err == nil {
		err = d.fd.Lstat(t.base, &u.stat)
	}
	switch {
	case err == nil && isWhiteout(&u.stat), errors.Is(err, errGone):
		return nil, missing()
	case err == nil && u.stat.Mode&unix.S_IFMT == unix.S_IFDIR:
		return nil, corrupt("", "it is a hard link to the directory %q", t.path())
	case err == nil:
		return d, nil
	case !errors.Is(err, errAbsent) && !errors.Is(err, unix.ENOENT):
		return nil, err
	}
	if d, err = u.dirs.open(t.parent, true); err != nil {
		return nil, err
	}
	d.pins++
	defer func() { d.pins-- }()
	found, err := u.copyUp(d, t.base)
	if err == nil && !found {
		err = missing()
	}
	return d, err
}
