package layers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// compareTrees says where a layer's tree on the disk differs from the one it
// should be: "" if nowhere. Both lie where only root enters, so nobody changes them
// meanwhile. Left out are the times of directories, since those that a layer does not
// bring itself have none of their own, and of whiteouts.
func compareTrees(ctx context.Context, have, want *os.File) (difference string, err error) {
	c := comparison{ctx: ctx, a: make([]byte, 64<<10), b: make([]byte, 64<<10)}
	err = c.directory(int(have.Fd()), int(want.Fd()), ".")
	if d, ok := errors.AsType[*differs](err); ok {
		return fmt.Sprintf("%q %s", d.path, d.how), nil
	}
	return "", err
}

// differs ends a comparison.
type differs struct{ path, how string }

func (d *differs) Error() string { return d.path + " " + d.how }

type comparison struct {
	ctx  context.Context //nolint:containedctx // it lives for one call
	a, b []byte
}

// directory compares two open directories, and what is in them. Descriptors and not
// paths, which could be longer than the kernel takes.
func (c *comparison) directory(have, want int, path string) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	a, err := open(have, ".", unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }() // it was only read
	b, err := open(want, ".", unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }() // it was only read
	here, err := a.Readdirnames(-1)
	if err != nil {
		return err
	}
	there, err := b.Readdirnames(-1)
	if err != nil {
		return err
	}
	slices.Sort(here)
	slices.Sort(there)
	for _, name := range there {
		if _, found := slices.BinarySearch(here, name); !found {
			return &differs{path + "/" + name, "is missing"}
		}
	}
	for _, name := range here {
		at := path + "/" + name
		if _, found := slices.BinarySearch(there, name); !found {
			return &differs{at, "does not belong there"}
		}
		if err := c.entry(int(a.Fd()), int(b.Fd()), name, at); err != nil {
			return err
		}
	}
	return nil
}

func (c *comparison) entry(have, want int, name, path string) error {
	var a, b unix.Stat_t
	if err := unix.Fstatat(have, name, &a, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if err := unix.Fstatat(want, name, &b, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	kind := b.Mode & unix.S_IFMT
	switch {
	case a.Mode&unix.S_IFMT != kind:
		return &differs{path, "is of another type"}
	case a.Mode != b.Mode, a.Uid != b.Uid, a.Gid != b.Gid:
		return &differs{path, "has another mode or owner"}
	case kind != unix.S_IFDIR && (a.Nlink != b.Nlink || a.Rdev != b.Rdev || a.Mtim != b.Mtim && !isWhiteout(&b)):
		return &differs{path, "has another time, device number or number of links"}
	case kind != unix.S_IFDIR && a.Size != b.Size:
		return &differs{path, "has another size"}
	}
	if err := sameAttributes(have, want, name, path); err != nil {
		return err
	}
	switch kind {
	case unix.S_IFREG:
		return c.content(have, want, name, path)
	case unix.S_IFLNK:
		n, err := unix.Readlinkat(have, name, c.a)
		if err != nil {
			return err
		}
		m, err := unix.Readlinkat(want, name, c.b)
		if err == nil && !bytes.Equal(c.a[:n], c.b[:m]) {
			err = &differs{path, "points elsewhere"}
		}
		return err
	case unix.S_IFDIR:
		return c.both(have, want, name, unix.O_DIRECTORY, func(a, b *os.File) error {
			return c.directory(int(a.Fd()), int(b.Fd()), path)
		})
	}
	return nil
}

// isWhiteout knows what stands for a name that the layer takes away. It has the time
// at which it was unpacked, as a layer says none of it.
func isWhiteout(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 }

func (c *comparison) both(have, want int, name string, flags int, do func(a, b *os.File) error) error {
	a, err := open(have, name, flags)
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }() // it was only read
	b, err := open(want, name, flags)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }() // it was only read
	return do(a, b)
}

func (c *comparison) content(have, want int, name, path string) error {
	return c.both(have, want, name, 0, func(a, b *os.File) error {
		for {
			if err := c.ctx.Err(); err != nil {
				return err
			}
			n, errA := io.ReadFull(a, c.a)
			m, errB := io.ReadFull(b, c.b)
			if !bytes.Equal(c.a[:n], c.b[:m]) {
				return &differs{path, "has another content"}
			}
			if errA != nil && !errors.Is(errA, io.EOF) && !errors.Is(errA, io.ErrUnexpectedEOF) {
				return &differs{path, "cannot be read: " + errA.Error()}
			}
			if errB != nil || errA != nil {
				return nil
			}
		}
	})
}

// sameAttributes compares extended attributes, by way of /proc, as there are no
// calls that take a directory.
func sameAttributes(have, want int, name, path string) error {
	a, err := attributes(have, name)
	if err != nil {
		return err
	}
	b, err := attributes(want, name)
	if err == nil && !bytes.Equal(a, b) {
		err = &differs{path, "has other extended attributes"}
	}
	return err
}

// attributes are all names and values, sorted.
func attributes(dir int, name string) ([]byte, error) {
	path := fmt.Sprintf("/proc/self/fd/%d/%s", dir, name)
	n, err := unix.Llistxattr(path, nil)
	if n == 0 || errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	list := make([]byte, max(n, 0))
	if err == nil {
		n, err = unix.Llistxattr(path, list)
	}
	if err != nil {
		return nil, err
	}
	keys := bytes.Split(bytes.TrimRight(list[:n], "\x00"), []byte{0})
	slices.SortFunc(keys, bytes.Compare)
	value, all := make([]byte, 64<<10), []byte(nil)
	for _, key := range keys {
		n, err := unix.Lgetxattr(path, string(key), value)
		if err != nil {
			return nil, err
		}
		all = fmt.Appendf(all, "%s=%x\n", key, value[:n])
	}
	return all, nil
}

func open(dir int, name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK|flags, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}
