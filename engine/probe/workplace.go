package probe

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// prefix is how directories begin in which a file system is tried.
const prefix = ".hull-probe-"

// inside is what is made in one; overlays make a directory in their work.
var inside = []string{"work/work", "work", "upper", "lower", "root"}

// workplace makes a directory to try things in. It is locked as long as its process lives, which tells those of the dead
// apart.
func workplace(parent string) (dir string, done func(), err error) {
	for {
		dir, err = os.MkdirTemp(parent, prefix)
		if err != nil {
			return "", nil, err
		}
		lock, err := locked(dir, 0)
		switch {
		case err == nil:
			return dir, func() { _ = os.RemoveAll(dir); _ = lock.Close() }, nil
		case !errors.Is(err, os.ErrNotExist): // a sweep took it for a dead one's before it was locked
			return "", nil, errors.Join(err, os.Remove(dir))
		}
	}
}

// locked opens a directory of one's own and locks it. The directory may go while the lock is waited for: then it does
// not exist.
func locked(dir string, flags int) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	f := os.NewFile(uintptr(fd), dir)
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err == nil && st.Uid != uint32(os.Geteuid()) {
		err = unix.EPERM
	}
	for err == nil {
		if err = unix.Flock(fd, unix.LOCK_EX|flags); !errors.Is(err, unix.EINTR) {
			break
		}
		err = nil
	}
	if err == nil {
		err = unix.Fstat(fd, &st)
	}
	if err == nil && st.Nlink == 0 {
		err = unix.ENOENT
	}
	if err != nil {
		_ = f.Close()
		return nil, &os.PathError{Op: "lock", Path: dir, Err: err}
	}
	return f, nil
}

// sweep removes what processes left that were killed while they tried things. The place may be everybody's, as /tmp is:
// it takes only directories of its own user's, only by the names that are made here, and never a file.
func sweep(parent string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return // the trial itself says so
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		path := filepath.Join(parent, e.Name())
		f, err := locked(path, unix.LOCK_NB)
		if err != nil {
			continue // it is somebody's
		}
		for _, name := range inside {
			_ = removeIn(f, name)
		}
		_ = unix.Rmdir(path)
		_ = f.Close()
	}
}

// removeIn removes an empty directory below another without following links.
func removeIn(dir *os.File, name string) error {
	at := int(dir.Fd())
	if above, base, ok := strings.Cut(name, "/"); ok {
		fd, err := unix.Openat(at, above, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		at, name = fd, base
	}
	return unix.Unlinkat(at, name, unix.AT_REMOVEDIR)
}
