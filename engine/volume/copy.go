package volume

import (
	"context"
	"errors"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// copyTree copies what is in one directory into another, with owners, modes, times, attributes, hard links and holes, and
// gives the other the first one's owner, mode and times. Device nodes are left out: they could not be opened in a volume.
//
// What is copied is an image's: it may be anything, but it does not change. It is walked by whole paths below two
// descriptors, without following a link, so that depth costs no descriptors; a tree that is deeper than a path can say
// is an error.
func copyTree(ctx context.Context, from, to *os.File) error {
	c := &copying{ctx: ctx, from: int(from.Fd()), to: int(to.Fd()), links: map[[2]uint64]string{}}
	for todo := []string{"."}; len(todo) > 0; {
		dir := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		below, err := c.dir(dir)
		if err != nil {
			return err
		}
		todo = append(todo, below...)
		c.dirs = append(c.dirs, dir)
	}
	for i := len(c.dirs) - 1; i >= 0; i-- { // a directory's times change with what is made in it
		if err := c.attributes(c.dirs[i]); err != nil {
			return err
		}
	}
	return nil
}

type copying struct {
	ctx      context.Context //nolint:containedctx // of the one call that the copy is
	from, to int
	dirs     []string
	links    map[[2]uint64]string // where a file with several names was copied to, by device and inode
}

// in opens a path below a directory without following anything.
func in(dir int, name string, flags, mode uint64) (int, error) {
	how := unix.OpenHow{
		Flags: flags | unix.O_CLOEXEC | unix.O_NOFOLLOW, Mode: mode,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	for range 100 {
		fd, err := unix.Openat2(dir, name, &how)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			if err != nil {
				err = &os.PathError{Op: "open", Path: name, Err: err}
			}
			return fd, err
		}
	}
	return -1, unix.EAGAIN
}

// dir copies what is directly in a directory, and answers the directories among it.
func (c *copying) dir(name string) (below []string, err error) {
	if err := c.ctx.Err(); err != nil {
		return nil, err
	}
	fd, err := in(c.from, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	from := os.NewFile(uintptr(fd), name)
	defer from.Close()
	to, err := in(c.to, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(to)
	names, err := from.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		isDir, err := c.one(fd, to, n, path.Join(name, n))
		if err != nil {
			return nil, err
		}
		if isDir {
			below = append(below, path.Join(name, n))
		}
	}
	return below, nil
}

// one copies one entry.
func (c *copying) one(from, to int, name, full string) (isDir bool, err error) {
	var st unix.Stat_t
	if err := unix.Fstatat(from, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return false, &os.PathError{Op: "stat", Path: full, Err: err}
	}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFDIR && st.Nlink > 1 {
		key := [2]uint64{st.Dev, st.Ino}
		if first, ok := c.links[key]; ok {
			return false, c.link(first, to, name, full)
		}
		defer func() {
			if err == nil && kind != unix.S_IFCHR && kind != unix.S_IFBLK {
				c.links[key] = full
			}
		}()
	}
	switch kind {
	case unix.S_IFDIR:
		return true, pathError("mkdir", full, unix.Mkdirat(to, name, 0o700))
	case unix.S_IFREG:
		return false, c.file(from, to, name, full, &st)
	case unix.S_IFLNK:
		return false, c.symlink(from, to, name, full, &st)
	case unix.S_IFIFO, unix.S_IFSOCK:
		if err := unix.Mknodat(to, name, kind|0o600, 0); err != nil {
			return false, pathError("mknod", full, err)
		}
		return false, c.special(to, name, full, &st)
	}
	return false, nil
}

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: name, Err: err}
}

func (c *copying) link(first string, to int, name, full string) error {
	fd, err := in(c.to, first, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return pathError("link", full, unix.Linkat(fd, "", to, name, unix.AT_EMPTY_PATH))
}

func (c *copying) symlink(from, to int, name, full string, st *unix.Stat_t) error {
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(from, name, b)
	if err == nil {
		err = unix.Symlinkat(string(b[:n]), to, name)
	}
	if err != nil {
		return pathError("symlink", full, err)
	}
	return c.special(to, name, full, st)
}

// special gives owner, mode and times to what is not opened.
func (c *copying) special(to int, name, full string, st *unix.Stat_t) error {
	err := unix.Fchownat(to, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFLNK {
		err = unix.Fchmodat(to, name, st.Mode&0o7777, 0)
	}
	if err == nil {
		err = unix.UtimesNanoAt(to, name, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
	}
	return pathError("set the attributes of", full, err)
}

// file copies a regular file.
func (c *copying) file(from, to int, name, full string, st *unix.Stat_t) error {
	in, err := unix.Openat(from, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return pathError("open", full, err)
	}
	defer unix.Close(in)
	out, err := unix.Openat(to, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return pathError("create", full, err)
	}
	err = c.content(in, out, st)
	if err == nil {
		err = setAttributes(in, out, st)
	}
	return errors.Join(pathError("copy", full, err), pathError("close", full, unix.Close(out)))
}

// content copies the bytes: shared with the image's file where the file system can, else without its holes.
func (c *copying) content(in, out int, st *unix.Stat_t) error {
	if unix.IoctlFileClone(out, in) == nil {
		return nil
	}
	if st.Blocks*512 >= st.Size {
		return c.part(in, out, 0, st.Size)
	}
	for off := int64(0); off < st.Size; {
		begin, err := unix.Seek(in, off, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // nothing but a hole to the end
		}
		if err != nil {
			return err
		}
		end, err := unix.Seek(in, begin, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if err := c.part(in, out, begin, end-begin); err != nil {
			return err
		}
		off = end
	}
	return unix.Ftruncate(out, st.Size)
}

// part copies bytes at the same place of both.
func (c *copying) part(in, out int, off, length int64) error {
	from, to := off, off
	for length > 0 {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		n, err := unix.CopyFileRange(in, &from, out, &to, int(min(length, 64<<20)), 0)
		if errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
			return c.plainly(in, out, from, length)
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return nil // shorter than it was said to be
		}
		length -= int64(n)
	}
	return nil
}

// plainly copies by reading and writing.
func (c *copying) plainly(in, out int, off, length int64) error {
	b := make([]byte, 1<<20)
	for length > 0 {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		n, err := unix.Pread(in, b[:min(int64(len(b)), length)], off)
		if err != nil || n == 0 {
			return err
		}
		for done := 0; done < n; {
			w, err := unix.Pwrite(out, b[done:n], off+int64(done))
			if err != nil {
				return err
			}
			done += w
		}
		off, length = off+int64(n), length-int64(n)
	}
	return nil
}

// attributes gives a directory those of the one it is a copy of.
func (c *copying) attributes(name string) error {
	from, err := in(c.from, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(from)
	to, err := in(c.to, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(to)
	var st unix.Stat_t
	if err := unix.Fstat(from, &st); err != nil {
		return pathError("stat", name, err)
	}
	return pathError("set the attributes of", name, setAttributes(from, to, &st))
}

// setAttributes copies owner, extended attributes, mode and times, in this order: a new owner takes capabilities and
// set-user-ID bits away.
func setAttributes(from, to int, st *unix.Stat_t) error {
	if err := unix.Fchown(to, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := copyXattrs(from, to); err != nil {
		return err
	}
	if err := unix.Fchmod(to, st.Mode&0o7777); err != nil {
		return err
	}
	return unix.UtimesNanoAt(to, "", []unix.Timespec{st.Atim, st.Mtim}, unix.AT_EMPTY_PATH)
}

// copyXattrs copies extended attributes, but for those that mean something to this host only.
func copyXattrs(from, to int) error {
	list := make([]byte, 1<<16) // XATTR_LIST_MAX
	n, err := unix.Flistxattr(from, list)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	if err != nil {
		return err
	}
	value := make([]byte, 1<<16) // XATTR_SIZE_MAX
	for name := range strings.SplitSeq(string(list[:n]), "\x00") {
		if !strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "system.posix_acl_") && name != "security.capability" {
			continue
		}
		n, err := unix.Fgetxattr(from, name, value)
		if err != nil {
			return err
		}
		if err := unix.Fsetxattr(to, name, value[:n], 0); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
			return err
		}
	}
	return nil
}
