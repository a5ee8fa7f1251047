package engine

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// deleteTree deletes a directory whose contents a container made. It follows no link, crosses no file system, and needs
// two descriptors and no recursion however deep the tree is: a directory that is not empty is moved up to the top and
// emptied in its turn.
func deleteTree(ctx context.Context, path string) error {
	top, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP): // somebody has put it in the place of a directory
		return os.Remove(path)
	}
	if err != nil {
		return err
	}
	defer top.Close()
	d := &deletion{ctx: ctx, top: int(top.Fd())}
	if err := d.empty(top); err != nil {
		return err
	}
	for len(d.moved) > 0 {
		name := d.moved[len(d.moved)-1]
		d.moved = d.moved[:len(d.moved)-1]
		if err := d.emptyMoved(name); err != nil {
			return err
		}
	}
	return os.Remove(filepath.Clean(path))
}

type deletion struct {
	ctx   context.Context //nolint:containedctx // of the one call that the deletion is
	top   int
	moved []string // directories of the top that are to be emptied
	count int
}

func (d *deletion) emptyMoved(name string) error {
	fd, err := unix.Openat(d.top, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	dir := os.NewFile(uintptr(fd), name)
	err = d.empty(dir)
	dir.Close()
	if err != nil {
		return err
	}
	err = unix.Unlinkat(d.top, name, unix.AT_REMOVEDIR)
	if errors.Is(err, unix.ENOTEMPTY) { // a listing need not show what was there while entries went
		d.moved = append(d.moved, name)
		return nil
	}
	return err
}

// empty deletes everything in a directory, or moves it to the top.
func (d *deletion) empty(dir *os.File) error {
	atTop := int(dir.Fd()) == d.top
	for {
		names, err := dir.Readdirnames(1024)
		for _, name := range names {
			if err := d.one(int(dir.Fd()), name, atTop); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || err == nil && len(names) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		if d.ctx.Err() != nil {
			return d.ctx.Err()
		}
	}
}

func (d *deletion) one(dir int, name string, atTop bool) error {
	err := unix.Unlinkat(dir, name, 0)
	if errors.Is(err, unix.EISDIR) {
		err = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
	}
	if errors.Is(err, unix.ENOTEMPTY) {
		if atTop {
			d.moved = append(d.moved, name)
			return nil
		}
		return d.move(dir, name)
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// move takes a directory to the top, under a name nothing there has.
func (d *deletion) move(dir int, name string) error {
	for {
		d.count++
		to := ".up-" + strconv.Itoa(d.count)
		err := unix.Renameat2(dir, name, d.top, to, unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EEXIST) {
			continue
		}
		if err == nil {
			d.moved = append(d.moved, to)
		}
		return err
	}
}
