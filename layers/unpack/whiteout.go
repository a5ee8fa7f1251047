package unpack

import (
	"errors"

	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
)

// whiteout hides what the layers below have. What this layer has of the same name
// stays, whether it came before or comes later.
func (u *unpacker) whiteout(n name) error {
	d, err := u.dirs.open(n.parent, true)
	if err != nil {
		return err
	}
	if n.opaque {
		return u.markOpaque(d.fd)
	}
	err = d.fd.Mknod(n.base, unix.S_IFCHR, 0)
	if errors.Is(err, unix.EEXIST) {
		return u.whiteoutOver(d, n.base)
	}
	if err != nil {
		return err
	}
	// Overlay takes a directory that only one layer has as it is, and would list
	// the whiteouts in it (seen on 6.18: as names that cannot be opened) unless
	// the directory seems to have been copied up.
	if !d.marked {
		if err := mark(d.fd, originXattr, nil); err != nil {
			return err
		}
		d.marked = true
	}
	return nil
}

// markOpaque hides what the layers below have in a directory.
func (u *unpacker) markOpaque(fd sys.FD) error {
	u.below.shown = ""
	return mark(fd, opaqueXattr, yes)
}

// whiteoutOver is the whiteout of a name that this layer has itself: a directory
// must not merge with the one below, a file hides what is below anyway.
func (u *unpacker) whiteoutOver(d *dir, base string) error {
	if err := d.fd.Lstat(base, &u.stat); err != nil {
		return err
	}
	if u.stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	fd, err := d.fd.Step(base)
	if err != nil {
		return err
	}
	defer fd.Close()
	if err := u.markOpaque(fd); err != nil {
		return err
	}
	// Without an entry of its own the directory is a new one: the one below, whose
	// attributes it would have got, is gone.
	_, marked, err := fd.Getxattr(ImpliedRoot)
	if err != nil || !marked {
		return err
	}
	if err := fd.Removexattr(ImpliedRoot); err != nil {
		return err
	}
	return u.fresh(fd, join(d.path, base))
}

// fresh gives a directory the attributes of one that nothing is known of.
func (u *unpacker) fresh(fd sys.FD, path string) error {
	a := attributes{mode: 0o755}
	if err := a.set(fd, made{}); err != nil {
		return err
	}
	return u.noteTimes(path, a.times)
}

// makeImplied makes a directory for entries that came without one. If the layer
// removed what was below, it is a new one; otherwise it is marked, and finish
// gives it the attributes of the one below, unless its own entry comes before.
func (u *unpacker) makeImplied(d *dir, base string, overWhiteout bool) error {
	if overWhiteout {
		if err := d.fd.Unlink(base, 0); err != nil {
			return err
		}
	}
	if err := d.fd.Mkdir(base, 0o755); err != nil {
		return err
	}
	fd, err := d.fd.Step(base)
	if err != nil {
		return err
	}
	defer fd.Close()
	path := join(d.path, base)
	if overWhiteout {
		if err := u.markOpaque(fd); err != nil {
			return err
		}
		return u.fresh(fd, path)
	}
	if err := u.implied.add(path, [2]unix.Timespec{}); err != nil {
		return err
	}
	return mark(fd, ImpliedRoot, yes)
}
