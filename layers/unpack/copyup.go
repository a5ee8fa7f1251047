package unpack

import (
	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
)

// copyUp copies the file base of d out of the layers below, with all it has. It
// says false if they have no such file. Other names that the file has below stay
// with the old one, as when overlay itself copies up.
func (u *unpacker) copyUp(d *dir, base string) (bool, error) {
	u.result.FromBelow = true
	var st unix.Stat_t
	path := join(d.path, base)
	in, ok, err := u.below.find(path, &st)
	if err != nil || !ok {
		return false, err
	}
	a := attributesFrom(&st)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return true, u.copyFile(in, d, base)
	case unix.S_IFLNK:
		target, err := in.Readlink(base)
		if err != nil {
			return true, err
		}
		return true, u.symlink(d, base, target, a)
	case unix.S_IFDIR:
		return true, corrupt("", "it is a hard link to the directory %q", path)
	}
	return true, u.makeNode(d, base, st.Mode&unix.S_IFMT, st.Rdev, a)
}

func (u *unpacker) copyFile(in sys.FD, d *dir, base string) error {
	src, err := in.Open(base, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer src.Close()
	var st unix.Stat_t
	if err := src.Stat(&st); err != nil {
		return err
	}
	if err := u.room(st.Size); err != nil {
		return err
	}
	a, err := attributesIn(src)
	if err != nil {
		return err
	}
	dst, err := u.create(d, base, 0o600)
	if err != nil {
		return err
	}
	defer dst.Close()
	if unix.IoctlFileClone(int(dst), int(src)) != nil { // shares the blocks where the file system can
		if err := u.copy(dst, src, st.Size, true); err != nil {
			return err
		}
	}
	if err := a.set(dst, made{}); err != nil {
		return err
	}
	return dst.Futimes(&a.times)
}
