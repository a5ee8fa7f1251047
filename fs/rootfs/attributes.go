package rootfs

import (
	"context"
	"errors"
	"strings"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// setOwner changes owner and mode of what fd, an O_PATH descriptor or not, stands for.
func setOwner(fd int, base uint32, in *fuse.SetAttrIn) syscall.Errno {
	uid, hasUID := in.GetUID()
	gid, hasGID := in.GetGID()
	if hasUID || hasGID {
		u, g := -1, -1
		var ok bool
		if hasUID {
			if u, ok = outside(uid, base); !ok {
				return syscall.EINVAL
			}
		}
		if hasGID {
			if g, ok = outside(gid, base); !ok {
				return syscall.EINVAL
			}
		}
		if err := unix.Fchownat(fd, "", u, g, unix.AT_EMPTY_PATH); err != nil {
			return fusefs.ToErrno(err)
		}
	}
	if mode, ok := in.GetMode(); ok {
		// There is no fchmod of an O_PATH descriptor before Linux 6.6.
		if err := unix.Chmod(reopened(fd), mode&0o7777); err != nil {
			return fusefs.ToErrno(err)
		}
	}
	return 0
}

// setTimes changes the times of what fd stands for.
func setTimes(fd int, in *fuse.SetAttrIn) syscall.Errno {
	ts := []unix.Timespec{
		when(in.Valid, fuse.FATTR_ATIME, fuse.FATTR_ATIME_NOW, in.Atime, in.Atimensec),
		when(in.Valid, fuse.FATTR_MTIME, fuse.FATTR_MTIME_NOW, in.Mtime, in.Mtimensec),
	}
	if ts[0].Nsec == unix.UTIME_OMIT && ts[1].Nsec == unix.UTIME_OMIT {
		return 0
	}
	return fusefs.ToErrno(unix.UtimesNanoAt(fd, "", ts, unix.AT_EMPTY_PATH))
}

func when(valid, set, now uint32, sec uint64, nsec uint32) unix.Timespec {
	switch {
	case valid&set == 0:
		return unix.Timespec{Nsec: unix.UTIME_OMIT}
	case valid&now != 0:
		return unix.Timespec{Nsec: unix.UTIME_NOW}
	}
	return unix.Timespec{Sec: int64(sec), Nsec: int64(nsec)}
}

// resize changes a file's size: by its open descriptor if it has one for writing, else by name.
func resize(ctx context.Context, fd int, f *file, mode, valid uint32, size int64) syscall.Errno {
	var err error
	switch {
	case f != nil:
		err = unix.Ftruncate(f.fd, size)
	case mode&unix.S_IFMT != unix.S_IFREG:
		return syscall.EINVAL
	default:
		err = truncate(fd, size)
	}
	if err != nil {
		return fusefs.ToErrno(err)
	}
	if valid&fuse.FATTR_KILL_SUIDGID != 0 && takesBits(ctx, mode) {
		return dropBits(fd, mode)
	}
	return 0
}

// truncate does not use truncate(2), which waits for whoever in the container holds a lease of the file: an open that
// must not wait says so.
func truncate(fd int, size int64) error {
	w, err := unix.Open(reopened(fd), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return errors.Join(unix.Ftruncate(w, size), unix.Close(w))
}

// dropBits takes set-user-ID and set-group-ID from a file of that mode.
func dropBits(fd int, mode uint32) syscall.Errno {
	mode &^= unix.S_ISUID
	if mode&unix.S_IXGRP != 0 {
		mode &^= unix.S_ISGID
	}
	return fusefs.ToErrno(unix.Chmod(reopened(fd), mode&0o7777))
}

// Only attributes of the user's own kind are shown and taken. The others carry the host's meaning: file capabilities
// name ids of the host, as ACLs do, and what overlayfs and security modules keep is nobody's business here.
func shownAttribute(name string) bool { return strings.HasPrefix(name, "user.") }

// Getxattr reads an extended attribute.
func (n *node) Getxattr(ctx context.Context, name string, dest []byte) (uint32, syscall.Errno) {
	if !shownAttribute(name) {
		return 0, syscall.EOPNOTSUPP
	}
	s, errno := n.reach(ctx)
	if errno != 0 {
		return 0, errno
	}
	defer s.leave()
	size, err := unix.Getxattr(reopened(s.fd), name, dest)
	return uint32(max(size, 0)), fusefs.ToErrno(err)
}

// Listxattr lists the extended attributes that are shown.
func (n *node) Listxattr(ctx context.Context, dest []byte) (uint32, syscall.Errno) {
	s, errno := n.reach(ctx)
	if errno != 0 {
		return 0, errno
	}
	defer s.leave()
	if s.st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return 0, 0
	}
	all := make([]byte, 1<<16) // XATTR_LIST_MAX
	size, err := unix.Listxattr(reopened(s.fd), all)
	if err != nil {
		return 0, fusefs.ToErrno(err)
	}
	var list []byte
	for name := range strings.SplitSeq(string(all[:size]), "\x00") {
		if shownAttribute(name) {
			list = append(append(list, name...), 0)
		}
	}
	if len(list) > len(dest) {
		return uint32(len(list)), syscall.ERANGE
	}
	return uint32(copy(dest, list)), 0
}

// Setxattr sets an extended attribute.
func (n *node) Setxattr(ctx context.Context, name string, data []byte, flags uint32) syscall.Errno {
	if !shownAttribute(name) {
		return syscall.EOPNOTSUPP
	}
	s, errno := n.change(ctx)
	if errno != 0 {
		return errno
	}
	defer s.leave()
	return fusefs.ToErrno(unix.Setxattr(reopened(s.fd), name, data, int(flags)))
}

// Removexattr removes an extended attribute.
func (n *node) Removexattr(ctx context.Context, name string) syscall.Errno {
	if !shownAttribute(name) {
		return syscall.EOPNOTSUPP
	}
	s, errno := n.change(ctx)
	if errno != 0 {
		return errno
	}
	defer s.leave()
	return fusefs.ToErrno(unix.Removexattr(reopened(s.fd), name))
}
