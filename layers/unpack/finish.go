package unpack

import (
	"errors"

	"golang.org/x/sys/unix"
)

func (u *unpacker) noteTimes(path string, times [2]unix.Timespec) error {
	return u.times.add(path, times)
}

// finish gives directories what had to wait until all entries were there.
func (u *unpacker) finish() error {
	if err := u.inherit(); err != nil {
		return err
	}
	if !u.rootSeen {
		root := u.dirs.root.fd
		if err := mark(root, ImpliedRoot, yes); err != nil {
			return err
		}
		if err := u.fresh(root, ""); err != nil {
			return err
		}
	}
	return u.times.each(func(t dirTimes) error {
		if u.ctx.Err() != nil {
			return stopped(u.ctx)
		}
		return failed(t.path, u.setTimes(&t))
	})
}

// setTimes sets the times of one directory; one that a later entry replaced is
// passed over.
func (u *unpacker) setTimes(t *dirTimes) error {
	if t.path == "" {
		return u.dirs.root.fd.Futimes(&t.times)
	}
	parent, base := cut(t.path)
	d, err := u.dirs.open(parent, false)
	if err != nil {
		var known *Error
		if u.replaced && (errors.Is(err, errAbsent) || errors.Is(err, errGone) || errors.As(err, &known)) {
			return nil
		}
		return err
	}
	if u.replaced {
		err := d.fd.Lstat(base, &u.stat)
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return err
		}
		if u.stat.Mode&unix.S_IFMT != unix.S_IFDIR {
			return nil
		}
	}
	return d.fd.Utimes(base, &t.times)
}

// inherit gives the directories without an entry what they have below, in the order
// in which they were made: the outer ones first.
func (u *unpacker) inherit() error {
	return u.implied.each(func(t dirTimes) error {
		if u.ctx.Err() != nil {
			return stopped(u.ctx)
		}
		return failed(t.path, u.inheritOne(t.path))
	})
}

func (u *unpacker) inheritOne(path string) error {
	d, err := u.dirs.open(path, false)
	if err != nil {
		if errors.Is(err, errAbsent) || errors.Is(err, errGone) {
			return nil // replaced by a later entry
		}
		var known *Error
		if u.replaced && errors.As(err, &known) && known.Kind == Corrupt {
			return nil
		}
		return err
	}
	if d.path != path {
		return nil
	}
	d.pins++
	defer func() { d.pins-- }()
	if _, marked, err := d.fd.Getxattr(ImpliedRoot); err != nil || !marked {
		return err
	}
	if err := d.fd.Removexattr(ImpliedRoot); err != nil {
		return err
	}
	a := attributes{mode: 0o755}
	u.result.FromBelow = true
	found, ok, err := u.below.directory(path)
	if err != nil {
		return err
	}
	if ok {
		a = found
	}
	if err := a.set(d.fd, made{}); err != nil {
		return err
	}
	return u.noteTimes(path, a.times)
}
