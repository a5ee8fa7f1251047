package sys

import (
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MappedTree is a detached mount of a directory that presents ids through a
// user namespace; nil presents them as they are.
func MappedTree(dir string, users *os.File) (*os.File, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("open_tree", err)
	}
	f := os.NewFile(uintptr(fd), dir)
	if users == nil {
		return f, nil
	}
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(users.Fd())}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, attr); err != nil {
		_ = f.Close()
		return nil, os.NewSyscallError("mount_setattr", err)
	}
	return f, nil
}

// OpenFileSystem begins to configure a file system.
func OpenFileSystem(kind string) (*os.File, error) {
	fd, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("fsopen "+kind, err)
	}
	return os.NewFile(uintptr(fd), kind), nil
}

// CreateMount makes the file system and a detached mount of it. An error has
// the kernel's own words, if it says any.
func CreateMount(fs *os.File) (*os.File, error) {
	if err := unix.FsconfigCreate(int(fs.Fd())); err != nil {
		said := make([]byte, 256)
		if n, rerr := unix.Read(int(fs.Fd()), said); rerr == nil && n > 2 {
			return nil, &os.PathError{Op: "mount", Path: fs.Name() + " (" + strings.TrimSpace(string(said[2:n])) + ")", Err: err}
		}
		return nil, &os.PathError{Op: "mount", Path: fs.Name(), Err: err}
	}
	fd, err := unix.Fsmount(int(fs.Fd()), unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fsmount", err)
	}
	return os.NewFile(uintptr(fd), fs.Name()), nil
}

// SeccompAction asks whether a filter may give that result.
func SeccompAction(action uint32) error {
	const getActionAvailable = 2
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, getActionAvailable, 0, uintptr(unsafe.Pointer(&action)))
	if e != 0 {
		return os.NewSyscallError("seccomp", e)
	}
	return nil
}

// PidfdInfo asks for what the kernel knows of a process (PIDFD_GET_INFO).
func PidfdInfo(pidfd int) error {
	const (
		size    = 64
		getInfo = 3<<30 | size<<16 | 0xff<<8 | 11 // _IOWR(0xff, 11, struct pidfd_info)
	)
	var info [size / 8]uint64
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(pidfd), getInfo, uintptr(unsafe.Pointer(&info)))
	if e != 0 {
		return os.NewSyscallError("PIDFD_GET_INFO", e)
	}
	return nil
}

// CloneTree makes a detached second mount of what a descriptor is of; with below, also of what is mounted below it.
func CloneTree(f *os.File, below bool) (*os.File, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH)
	if below {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(int(f.Fd()), "", flags)
	if err != nil {
		return nil, os.NewSyscallError("open_tree", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// ChangeTree sets MOUNT_ATTR flags of a detached mount, makes it private, and presents its ids through a user
// namespace if there is one; with below, all of it holds for what is mounted below it, too.
func ChangeTree(f *os.File, below bool, flags uint64, users *os.File) error {
	at := uint(unix.AT_EMPTY_PATH)
	if below {
		at |= unix.AT_RECURSIVE
	}
	attr := &unix.MountAttr{Attr_set: flags, Propagation: unix.MS_PRIVATE}
	if users != nil {
		attr.Attr_set |= unix.MOUNT_ATTR_IDMAP
		attr.Userns_fd = uint64(users.Fd())
	}
	return os.NewSyscallError("mount_setattr", unix.MountSetattr(int(f.Fd()), "", at, attr))
}

// MakeWritable lets a detached mount be written to.
func MakeWritable(f *os.File) error {
	attr := &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
	return os.NewSyscallError("mount_setattr", unix.MountSetattr(int(f.Fd()), "", unix.AT_EMPTY_PATH, attr))
}
