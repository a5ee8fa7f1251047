package unpack

import (
	"errors"

	"golang.org/x/sys/unix"
)

// creating calls create, and if the name is taken again without what has it.
func (u *unpacker) creating(d *dir, base string, create func() error) error {
	err := create()
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if err := d.fd.Lstat(base, &u.stat); err != nil {
		return err
	}
	if err := u.remove(d, base, &u.stat); err != nil {
		return err
	}
	return create()
}

// remove takes away what an earlier entry made.
func (u *unpacker) remove(d *dir, base string, st *unix.Stat_t) error {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		u.replaced = true
		u.below.shown = ""
		u.dirs.forget(join(d.path, base))
		return d.fd.RemoveAll(u.ctx, base)
	case unix.S_IFLNK:
		u.dirs.forget(join(d.path, base)) // no path leads through it any more
	}
	return d.fd.Unlink(base, 0)
}
