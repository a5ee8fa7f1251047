// Package sys is the one home of raw system calls on the layers' side: thin
// functions, each one call of the kernel (interrupted ones are repeated), that
// work at descriptors and never at paths of the whole machine.
//
// Two shapes of descriptor are used. A *os.File owns its descriptor and is what
// packages hand to each other. An FD is a bare number for the unpacker's inner
// loop, where a garbage-collected object for each file would cost more than the
// file: whoever opened it closes it.
//
// Names given to the functions here are single components or relative paths
// made by hull itself. A name that comes from an image goes through [Step] only,
// which takes one component and follows nothing.
package sys

import (
	"errors"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// FD is an open descriptor, owned by whoever opened it.
type FD int

// Close closes the descriptor. The kernel's answer is of no use to anyone: what
// was written is made sure of by [Syncfs].
func (fd FD) Close() { _ = unix.Close(int(fd)) }

// File hands the descriptor over to an *os.File, which then owns it.
func (fd FD) File(name string) *os.File { return os.NewFile(uintptr(fd), name) }

// Of is the descriptor of f. f must stay alive while it is used: see [Using].
func Of(f *os.File) FD { return FD(f.Fd()) }

// Using calls fn with the descriptor of f and keeps f from being collected
// meanwhile.
func Using(f *os.File, fn func(FD) error) error {
	err := fn(Of(f))
	runtime.KeepAlive(f)
	return err
}

// retry repeats a call for as long as signals interrupt it.
func retry(call func() error) error {
	for {
		err := call()
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Openat2 opens a path below dir as how says. Callers set how.Resolve: with
// RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS no path leads out of dir.
func Openat2(dir *os.File, path string, how unix.OpenHow) (*os.File, error) {
	how.Flags |= unix.O_CLOEXEC
	var fd int
	err := Using(dir, func(d FD) error {
		return retry(func() (err error) {
			fd, err = unix.Openat2(int(d), path, &how)
			return err
		})
	})
	if err != nil {
		return nil, &os.PathError{Op: "openat2", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// OpenDir opens a directory below dir for reading, following no link in path.
func OpenDir(dir *os.File, path string) (*os.File, error) {
	return Openat2(dir, path, unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
}

// OpenRoot opens a directory by its path, to be the root of all that follows.
func OpenRoot(path string) (*os.File, error) {
	return os.OpenFile(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// Mkdirat makes a directory below dir.
func Mkdirat(dir *os.File, name string, mode uint32) error {
	return Using(dir, func(d FD) error { return pathError("mkdirat", name, d.Mkdir(name, mode)) })
}

// Unlinkat removes a name that is not a directory.
func Unlinkat(dir *os.File, name string) error {
	return Using(dir, func(d FD) error { return pathError("unlinkat", name, d.Unlink(name, 0)) })
}

// Renameat2 renames. Flags: 0 replaces, RENAME_NOREPLACE fails with EEXIST,
// RENAME_EXCHANGE swaps the two.
func Renameat2(from *os.File, name string, to *os.File, target string, flags uint) error {
	err := Using(from, func(f FD) error {
		return Using(to, func(t FD) error {
			return retry(func() error { return unix.Renameat2(int(f), name, int(t), target, flags) })
		})
	})
	if err != nil {
		return &os.LinkError{Op: "renameat2", Old: name, New: target, Err: err}
	}
	return nil
}

// Exchange swaps two names in one step.
func Exchange(a *os.File, name string, b *os.File, other string) error {
	return Renameat2(a, name, b, other, unix.RENAME_EXCHANGE)
}

// Linkat gives the file name in from a second name in to, without following a
// link.
func Linkat(from *os.File, name string, to *os.File, target string) error {
	err := Using(from, func(f FD) error {
		return Using(to, func(t FD) error { return f.Link(name, t, target) })
	})
	if err != nil {
		return &os.LinkError{Op: "linkat", Old: name, New: target, Err: err}
	}
	return nil
}

// Syncfs writes out everything of the file system f lies on. Since Linux 5.8 it
// reports a write that failed since f was opened, so f has to be opened before
// the writing begins. f must not be O_PATH.
func Syncfs(f *os.File) error {
	return Using(f, func(d FD) error {
		return pathError("syncfs", f.Name(), retry(func() error { return unix.Syncfs(int(d)) }))
	})
}

// Fsync writes out one file or directory; a directory opened O_PATH is opened
// again for it.
func Fsync(f *os.File) error {
	return Using(f, func(d FD) error {
		err := retry(func() error { return unix.Fsync(int(d)) })
		if errors.Is(err, unix.EBADF) {
			var again FD
			if again, err = d.Open(".", unix.O_RDONLY|unix.O_DIRECTORY, 0); err == nil {
				err = retry(func() error { return unix.Fsync(int(again)) })
				again.Close()
			}
		}
		return pathError("fsync", f.Name(), err)
	})
}

// Space is what a file system has room for, in bytes and in inodes. Some file
// systems have no limit of inodes: Inodes is then 0.
type Space struct {
	Total, Free        uint64
	Inodes, FreeInodes uint64
}

// Statfs measures the file system f lies on. Free is what an ordinary process
// may use, not the part kept back for root.
func Statfs(f *os.File) (Space, error) {
	var st unix.Statfs_t
	err := Using(f, func(d FD) error {
		return retry(func() error { return unix.Fstatfs(int(d), &st) })
	})
	if err != nil {
		return Space{}, pathError("fstatfs", f.Name(), err)
	}
	unit := uint64(st.Frsize)
	if unit == 0 {
		unit = uint64(st.Bsize)
	}
	return Space{Total: st.Blocks * unit, Free: st.Bavail * unit, Inodes: st.Files, FreeInodes: st.Ffree}, nil
}

// Lock takes an exclusive lock on the open file, held until the last descriptor
// of it is closed. EWOULDBLOCK says that somebody else has it.
func Lock(f *os.File) error {
	return Using(f, func(d FD) error {
		return pathError("flock", f.Name(), retry(func() error { return unix.Flock(int(d), unix.LOCK_EX|unix.LOCK_NB) }))
	})
}

func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: path, Err: err}
}
