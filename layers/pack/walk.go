package pack

import (
	"archive/tar"
	"context"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
)

const (
	maxPath = 4095 // PATH_MAX without its NUL: what others can unpack

	// maxNoted is how many bytes of names are held at once: those of the
	// directories the walk is in, and of files whose other names are still to come.
	maxNoted = 48 << 20

	whiteoutPrefix = ".wh."
	opaqueName     = ".wh..wh..opq"
)

// packer is one walk.
type packer struct {
	ctx     context.Context //nolint:containedctx // a packer lives for one call
	o       Options
	layer   bool // whiteouts are written as a layer has them
	tar     *tar.Writer
	links   map[inode]*link
	noted   int
	entries int64
	bytes   int64
	buf     []byte
	stat    unix.Stat_t // scratch
}

// inode tells files apart.
type inode struct{ dev, ino uint64 }

// link is a file with several names, of which path has been packed.
type link struct {
	path string
	left uint64 // how many more names there can be
}

// root packs the directory the walk begins in.
func (p *packer) root(fd sys.FD) error {
	if p.layer {
		if err := p.directoryEntry(fd, ""); err != nil {
			return err
		}
	}
	return p.content(fd, "", 0)
}

// content packs what is in an open directory, sorted by name.
func (p *packer) content(fd sys.FD, path string, depth int) error {
	if depth > p.o.Limits.Depth {
		return tooLarge(path[:min(len(path), 64)]+"…", "it lies more than %d directories deep", p.o.Limits.Depth)
	}
	var l listing
	err := fd.Entries(func(name string, _ uint8) error {
		if err := p.note(len(name) + nameCost); err != nil {
			return err
		}
		l.add(name)
		return nil
	})
	if err != nil && !errors.Is(err, unix.ENOENT) { // a directory that has been removed lists nothing
		return failed(path, err)
	}
	l.sort()
	for i := range l.at {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		if err := p.entry(fd, path, l.name(i), depth); err != nil {
			return err
		}
	}
	p.noted -= l.cost()
	return nil
}

// note counts names that are held in memory.
func (p *packer) note(size int) error {
	if p.noted += size; p.noted > maxNoted {
		return tooLarge("", "the names of its files take more than %d MiB", maxNoted>>20)
	}
	return nil
}

// entry packs one name of a directory.
func (p *packer) entry(dir sys.FD, parent, name string, depth int) error {
	path := name
	if parent != "" {
		path = parent + "/" + name
	}
	if slices.Contains(p.o.Omit, path) {
		return nil
	}
	if len(path) > maxPath {
		return tooLarge(path[:64]+"…", "the path has %d bytes, the most is %d", len(path), maxPath)
	}
	err := dir.Lstat(name, &p.stat)
	if err == nil {
		err = p.file(dir, path, name, depth)
	}
	if vanished(err) {
		return nil
	}
	return failed(path, err)
}

// file packs what p.stat describes, if it is still there.
func (p *packer) file(dir sys.FD, path, name string, depth int) error {
	kind := p.stat.Mode & unix.S_IFMT
	if kind == unix.S_IFCHR && p.stat.Rdev == 0 {
		return p.whiteout(path, name) // in a merged tree, there is none
	}
	if p.layer && strings.HasPrefix(name, whiteoutPrefix) {
		return unsupported(path, "a name that begins with %q means a removed file in a layer; remove or rename it", whiteoutPrefix)
	}
	switch kind {
	case unix.S_IFDIR:
		return p.directory(dir, path, name, depth)
	case unix.S_IFREG:
		return p.regular(dir, path, name)
	case unix.S_IFLNK:
		target, err := dir.Readlink(name)
		if errors.Is(err, unix.EINVAL) {
			return errChanged
		}
		if err != nil {
			return err
		}
		return p.special(path, target)
	case unix.S_IFCHR, unix.S_IFBLK, unix.S_IFIFO:
		return p.special(path, "")
	}
	return nil // a socket
}

// directory packs a directory and what is in it.
func (p *packer) directory(dir sys.FD, path, name string, depth int) error {
	fd, err := dir.Step(name)
	if errors.Is(err, unix.EXDEV) {
		// Something is mounted on it: what is seen is not the tree's.
		return p.header(path+"/", tar.TypeDir, &p.stat, nil, func(*tar.Header) {})
	}
	if err != nil {
		return err
	}
	defer fd.Close()
	if err := p.directoryEntry(fd, path); err != nil {
		return err
	}
	return p.content(fd, path, depth+1)
}

// errChanged says that a name is not any more what it was when it was looked at.
var errChanged = errors.New("it was changed meanwhile")

// vanished says whether a failure only means that the container has removed or
// replaced the file since its directory was listed.
func vanished(err error) bool {
	if _, ok := errors.AsType[*Error](err); ok {
		return false
	}
	for _, gone := range []error{errChanged, unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.ESTALE, unix.ENXIO} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return false
}
