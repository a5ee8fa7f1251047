// Package sys has the system calls of the engine that the standard library
// lacks, as thin functions on descriptors that somebody owns: what is returned
// as an *os.File is the caller's to close, what is passed as one stays its
// owner's. (What runs inside containers is package child's.)
package sys

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// OpenIn opens a path below dir as if dir were the root: no link leads out of
// it. Magic links (those in /proc that lead anywhere) are refused. resolve
// adds RESOLVE flags.
func OpenIn(dir *os.File, name string, flags int, resolve uint64) (*os.File, error) {
	how := &unix.OpenHow{Flags: uint64(flags) | unix.O_CLOEXEC, Resolve: resolve | unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	for try := 0; ; try++ {
		fd, err := unix.Openat2(int(dir.Fd()), name, how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), name), nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN) && try < 100: // something was renamed meanwhile
		default:
			return nil, &os.PathError{Op: "openat2", Path: name, Err: err}
		}
	}
}

// Reopen opens what an O_PATH descriptor refers to.
func Reopen(f *os.File, flags int) (*os.File, error) {
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// Stat looks at what a descriptor refers to.
func Stat(f *os.File) (st unix.Stat_t, err error) {
	return st, os.NewSyscallError("fstat", unix.Fstat(int(f.Fd()), &st))
}

// IsDir tells whether a descriptor is of a directory. It asks no server, which
// may be gone, or this process.
func IsDir(f *os.File) (bool, error) {
	var st unix.Statx_t
	err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &st)
	return st.Mode&unix.S_IFMT == unix.S_IFDIR, os.NewSyscallError("statx", err)
}

// FileSystem is the magic number of the file system a descriptor is on.
func FileSystem(f *os.File) (int64, error) {
	var st unix.Statfs_t
	err := unix.Fstatfs(int(f.Fd()), &st)
	return st.Type, os.NewSyscallError("fstatfs", err)
}

// MountID is the number, as in mountinfo, of the mount a descriptor is on.
func MountID(f *os.File) (uint64, error) {
	var st unix.Statx_t
	err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st)
	return st.Mnt_id, os.NewSyscallError("statx", err)
}

// IsPipe reports whether a descriptor is a pipe's, with a name or without. It
// asks no file system.
func IsPipe(f *os.File) bool {
	_, err := unix.FcntlInt(f.Fd(), unix.F_GETPIPE_SZ, 0)
	return err == nil
}

// Own changes a file's owner.
func Own(f *os.File, uid, gid int) error {
	return os.NewSyscallError("fchown", unix.Fchown(int(f.Fd()), uid, gid))
}

const seals = unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

// Memory is a file in memory with the given content.
func Memory(name string, content []byte) (*os.File, error) {
	return memory(name, content, 0)
}

// Sealed is a file in memory whose content nobody can change any more.
func Sealed(name string, content []byte) (*os.File, error) {
	f, err := memory(name, content, unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	return seal(f)
}

// Program is an executable file in memory that nobody can change any more.
func Program(name string, content []byte) (*os.File, error) {
	f, err := memory(name, content, unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 every memfd is executable
		f, err = memory(name, content, unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, err
	}
	return seal(f)
}

func seal(f *os.File) (*os.File, error) {
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		_ = f.Close()
		return nil, os.NewSyscallError("seal", err)
	}
	return f, nil
}

func memory(name string, content []byte, flags int) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|flags)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.Write(content); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// MakeDevice makes a device node with exactly these permissions.
func MakeDevice(dir *os.File, name string, mode, major, minor uint32) error {
	if err := unix.Mknodat(int(dir.Fd()), name, mode, int(unix.Mkdev(major, minor))); err != nil {
		return os.NewSyscallError("mknod", err)
	}
	return os.NewSyscallError("chmod", unix.Fchmodat(int(dir.Fd()), name, mode&0o7777, 0))
}

// OwnNode changes the owner of what a name in dir is, be it a link.
func OwnNode(dir *os.File, name string, uid, gid int) error {
	return os.NewSyscallError("chown", unix.Fchownat(int(dir.Fd()), name, uid, gid, unix.AT_SYMLINK_NOFOLLOW))
}
