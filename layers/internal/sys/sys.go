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

// OpenRoot opens a directory by its path, to be the root of all that follows.
func OpenRoot(path string) (*os.File, error) {
	return os.OpenFile(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
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

// Syncfs writes out everything of the file system f lies on. Since Linux 5.8 it
// reports a write that failed since f was opened, so f has to be opened before
// the writing begins. f must not be O_PATH.
func Syncfs(f *os.File) error {
	return Using(f, func(d FD) error {
		return pathError("syncfs", f.Name(), retry(func() error { return unix.Syncfs(int(d)) }))
	})
}

func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: path, Err: err}
}
