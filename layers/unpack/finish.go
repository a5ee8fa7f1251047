package unpack

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"
)

// dirTimes are the times of a directory, set when nothing is made in it any more.
type dirTimes struct {
	path  string
	times [2]unix.Timespec
}

// note counts what is kept in memory until the end.
func (u *unpacker) note(size int) error {
	if u.noted += size + 64; u.noted > maxNoted {
		return tooLarge("", "the names of its directories take more than %d MiB", maxNoted>>20)
	}
	return nil
}

func (u *unpacker) noteTimes(path string, times [2]unix.Timespec) error {
	if err := u.note(len(path)); err != nil {
		return err
	}
	u.times = append(u.times, dirTimes{path, times})
	return nil
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
	for i := range u.times {
		if u.ctx.Err() != nil {
			return stopped(u.ctx)
		}
		if err := u.setTimes(&u.times[i]); err != nil {
			return failed(u.times[i].path, err)
		}
	}
	return nil
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

// inherit gives the directories without an entry what they have below.
func (u *unpacker) inherit() error {
	slices.Sort(u.implied)
	u.implied = slices.Compact(u.implied)
	for _, path := range u.implied {
		if u.ctx.Err() != nil {
			return stopped(u.ctx)
		}
		if err := u.inheritOne(path); err != nil {
			return failed(path, err)
		}
	}
	return nil
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
	if err := a.set(d.fd); err != nil {
		return err
	}
	return u.noteTimes(path, a.times)
}
