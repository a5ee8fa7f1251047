package sys

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// removeDepth is how many directories [RemoveAll] holds open at once. What lies
// deeper is first moved up to the root of the tree that is being removed: a
// container can nest directories without end, and neither descriptors nor the
// stack may run out over it.
const removeDepth = 64

// RemoveAll removes name in dir and everything below it. It follows no link and
// enters no mount point (which is then EXDEV or EBUSY). It goes on past what
// cannot be removed and returns the first such failure; a name that is not there
// is no error. Nobody else may be changing the tree, beyond removing from it.
func RemoveAll(ctx context.Context, dir *os.File, name string) error {
	return Using(dir, func(d FD) error { return d.RemoveAll(ctx, name) })
}

// RemoveAll is [RemoveAll] at a bare descriptor.
func (fd FD) RemoveAll(ctx context.Context, name string) error {
	err := fd.Unlink(name, 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	root, stepErr := fd.Step(name)
	if stepErr != nil {
		if errors.Is(stepErr, unix.ENOTDIR) || errors.Is(stepErr, unix.ELOOP) {
			return pathError("unlinkat", name, err)
		}
		return pathError("openat2", name, stepErr)
	}
	defer root.Close()
	if err := empty(ctx, root); err != nil {
		return fmt.Errorf("removing %q: %w", name, err)
	}
	if err := fd.Unlink(name, unix.AT_REMOVEDIR); err != nil && !errors.Is(err, unix.ENOENT) {
		return pathError("unlinkat", name, err)
	}
	return nil
}

// RemoveContents removes everything in dir, and leaves dir.
func RemoveContents(ctx context.Context, dir *os.File) error {
	return Using(dir, func(d FD) error {
		root, err := d.Open(".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			return pathError("openat", dir.Name(), err)
		}
		defer root.Close()
		return empty(ctx, root)
	})
}

func empty(ctx context.Context, root FD) error {
	r := remover{root: root}
	for {
		r.moved, r.first = false, nil
		if err := r.clear(ctx, root, 0); err != nil {
			return err
		}
		if !r.moved {
			return r.first
		}
	}
}

type remover struct {
	root  FD
	next  uint64 // number of the next directory that is moved up
	moved bool   // something was moved up: the root has to be gone through again
	first error  // the first thing that could not be removed
}

func (r *remover) fail(op string, name string, err error) {
	if r.first == nil && !errors.Is(err, unix.ENOENT) {
		r.first = pathError(op, name, err)
	}
}

// clear removes what is in dir. Only the context's end is returned; the rest is
// remembered in r.first.
func (r *remover) clear(ctx context.Context, dir FD, depth int) error {
	for again := true; again; {
		again = false
		// A directory is gone through until a pass removes nothing more: file
		// systems may skip entries of a directory that shrinks while it is read.
		list, err := dir.Open(".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			r.fail("openat", ".", err)
			return nil
		}
		err = list.Entries(func(name string, kind uint8) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			removed, err := r.remove(ctx, dir, name, kind, depth)
			again = again || removed
			return err
		})
		list.Close()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			r.fail("getdents64", ".", err)
			return nil
		}
	}
	return nil
}

// remove removes one entry, and says whether the directory got smaller by it.
func (r *remover) remove(ctx context.Context, dir FD, name string, kind uint8, depth int) (bool, error) {
	if kind != unix.DT_DIR {
		err := dir.Unlink(name, 0)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, unix.EISDIR) { // a file system that gives no types
			r.fail("unlinkat", name, err)
			return false, nil
		}
	}
	if err := dir.Unlink(name, unix.AT_REMOVEDIR); err == nil {
		return true, nil
	} else if !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
		r.fail("unlinkat", name, err)
		return false, nil
	}
	if depth >= removeDepth {
		return r.moveUp(dir, name), nil
	}
	sub, err := dir.Step(name)
	if err != nil {
		r.fail("openat2", name, err)
		return false, nil
	}
	err = r.clear(ctx, sub, depth+1)
	sub.Close()
	if err != nil {
		return false, err
	}
	if err := dir.Unlink(name, unix.AT_REMOVEDIR); err != nil {
		r.fail("unlinkat", name, err)
		return false, nil
	}
	return true, nil
}

// moveUp moves a directory that lies too deep to the root of the tree.
func (r *remover) moveUp(dir FD, name string) bool {
	for {
		r.next++
		err := retry(func() error {
			return unix.Renameat2(int(dir), name, int(r.root), fmt.Sprintf(".deep.%d", r.next), unix.RENAME_NOREPLACE)
		})
		switch {
		case err == nil:
			r.moved = true
			return true
		case errors.Is(err, unix.EEXIST):
			continue
		default:
			r.fail("renameat2", name, err)
			return false
		}
	}
}
