package sys

import (
	"errors"
	"io"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Open opens one name below fd. O_CLOEXEC and O_NOFOLLOW are always set.
func (fd FD) Open(name string, flags int, mode uint32) (FD, error) {
	for {
		n, err := unix.Openat(int(fd), name, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, mode)
		if !errors.Is(err, unix.EINTR) {
			return FD(n), err
		}
	}
}

// stepHow opens a directory that is exactly where the name says: no link, no
// way up, no mount point.
var stepHow = unix.OpenHow{
	Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
	Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
}

// Step opens the directory name in fd: one component of an untrusted path, or a
// relative path that hull itself made. A symbolic link is ELOOP or ENOTDIR, another
// file ENOTDIR, a way out or a mount point EXDEV.
func (fd FD) Step(name string) (FD, error) {
	how := stepHow
	for {
		n, err := unix.Openat2(int(fd), name, &how)
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return FD(n), err
		}
	}
}

// Stat describes the open file itself.
func (fd FD) Stat(st *unix.Stat_t) error {
	return retry(func() error { return unix.Fstat(int(fd), st) })
}

// Lstat describes name in fd, a link as a link.
func (fd FD) Lstat(name string, st *unix.Stat_t) error {
	return retry(func() error { return unix.Fstatat(int(fd), name, st, unix.AT_SYMLINK_NOFOLLOW) })
}

// Mkdir makes the directory name.
func (fd FD) Mkdir(name string, mode uint32) error { return unix.Mkdirat(int(fd), name, mode) }

// Unlink removes name; flags may be AT_REMOVEDIR.
func (fd FD) Unlink(name string, flags int) error {
	return retry(func() error { return unix.Unlinkat(int(fd), name, flags) })
}

// Link gives name a second name, without following a link.
func (fd FD) Link(name string, to FD, target string) error {
	return unix.Linkat(int(fd), name, int(to), target, 0)
}

// Symlink makes name a link to target.
func (fd FD) Symlink(target, name string) error { return unix.Symlinkat(target, int(fd), name) }

// Readlink reads the target of the link name.
func (fd FD) Readlink(name string) (string, error) {
	var buf [4096]byte // a target is at most PATH_MAX-1 bytes
	n, err := unix.Readlinkat(int(fd), name, buf[:])
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// Mknod makes a device node or a fifo.
func (fd FD) Mknod(name string, mode uint32, dev uint64) error {
	return unix.Mknodat(int(fd), name, mode, int(dev))
}

// Chown gives name to an owner, a link itself if it is one.
func (fd FD) Chown(name string, uid, gid uint32) error {
	return unix.Fchownat(int(fd), name, int(uid), int(gid), unix.AT_SYMLINK_NOFOLLOW)
}

// Fchown gives the open file to an owner.
func (fd FD) Fchown(uid, gid uint32) error { return unix.Fchown(int(fd), int(uid), int(gid)) }

// Chmod sets the mode of name, which must not be a link.
func (fd FD) Chmod(name string, mode uint32) error { return unix.Fchmodat(int(fd), name, mode, 0) }

// Fchmod sets the mode of the open file.
func (fd FD) Fchmod(mode uint32) error { return unix.Fchmod(int(fd), mode) }

// Utimes sets the times of name, of a link itself if it is one.
func (fd FD) Utimes(name string, times *[2]unix.Timespec) error {
	return unix.UtimesNanoAt(int(fd), name, times[:], unix.AT_SYMLINK_NOFOLLOW)
}

// Futimes sets the times of the open file: utimensat without a path, which
// x/sys does not offer.
func (fd FD) Futimes(times *[2]unix.Timespec) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(times)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// Write writes all of b at the descriptor's offset.
func (fd FD) Write(b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(int(fd), b)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// Truncate sets the size of the open file.
func (fd FD) Truncate(size int64) error {
	return retry(func() error { return unix.Ftruncate(int(fd), size) })
}

// WriteAt writes all of b at an offset.
func (fd FD) WriteAt(b []byte, offset int64) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(int(fd), b, offset)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		b, offset = b[n:], offset+int64(n)
	}
	return nil
}

// WriteOut has the kernel begin to write a part of the file to the disk. Without it
// all of a pull would still be in memory when it ends, and [Syncfs] would take as long
// as the disk needs for that. What fails is told by Syncfs.
func (fd FD) WriteOut(offset, n int64) {
	_ = unix.SyncFileRange(int(fd), offset, n, unix.SYNC_FILE_RANGE_WRITE)
}

// ReadAt reads what is at an offset, at least a byte; io.EOF if there is none.
func (fd FD) ReadAt(b []byte, offset int64) (n int, err error) {
	err = retry(func() error {
		n, err = unix.Pread(int(fd), b, offset)
		return err
	})
	if err == nil && n == 0 && len(b) > 0 {
		err = io.EOF
	}
	return max(n, 0), err
}

// Read reads like an io.Reader.
func (fd FD) Read(b []byte) (int, error) {
	for {
		n, err := unix.Read(int(fd), b)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, err
		case n == 0 && len(b) > 0:
			return 0, io.EOF
		}
		return n, nil
	}
}
