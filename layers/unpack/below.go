package unpack

import (
	"errors"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
)

// below looks into the layers beneath the one being unpacked, as overlay would
// merge them. They are asked for only when the first question comes.
//
// The directories of one path, one in each layer that has it, stay open for the
// next question: questions come sorted by path.
type below struct {
	u     *unpacker
	asked bool
	roots []sys.FD

	shown  string   // a directory that the layer itself does not hide, nor any around it
	path   string   // whose directories are in merged
	merged []sys.FD // highest first
}

func (b *below) close() {
	b.drop()
	for _, fd := range b.roots {
		fd.Close()
	}
	b.roots = nil
}

func (b *below) drop() {
	for _, fd := range b.merged {
		fd.Close()
	}
	b.path, b.merged = "", nil
}

// ask opens the layers below.
func (b *below) ask() error {
	if b.asked {
		return nil
	}
	b.asked = true
	files := b.u.o.Lower
	if b.u.o.Below != nil {
		var err error
		if files, err = b.u.o.Below(b.u.ctx); err != nil {
			return err
		}
	}
	for _, f := range files {
		fd, err := sys.Of(f).Open(".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		runtime.KeepAlive(f)
		if err != nil {
			return err
		}
		b.roots = append(b.roots, fd)
		if _, opaque, err := fd.Getxattr(opaqueXattr); err != nil || opaque {
			return err
		}
	}
	return nil
}

// enter opens the directories that the layers below have at path; none if that is
// no directory.
func (b *below) enter(path string) ([]sys.FD, error) {
	if err := b.ask(); err != nil {
		return nil, err
	}
	if path == "" {
		return b.roots, nil
	}
	if path == b.path {
		return b.merged, nil
	}
	rest, ok := strings.CutPrefix(path, b.path+"/")
	if !ok || b.path == "" {
		b.drop()
		rest = path
	}
	for rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		dirs := b.merged
		if b.path == "" {
			dirs = b.roots
		}
		next, err := step(dirs, part, b.u.step)
		p := join(b.path, part)
		b.drop()
		if err != nil {
			return nil, err
		}
		b.path, b.merged = p, next
	}
	return b.merged, nil
}

// step opens the directory base in each of the merged directories that has one,
// if allow lets it, down to where a file, a whiteout or an opaque directory hides the rest.
func step(dirs []sys.FD, base string, allow func() error) (next []sys.FD, err error) {
	defer func() {
		if err != nil {
			for _, fd := range next {
				fd.Close()
			}
			next = nil
		}
	}()
	for _, d := range dirs {
		if err := allow(); err != nil {
			return next, err
		}
		fd, err := d.Step(base)
		switch {
		case errors.Is(err, unix.ENOENT):
			continue
		case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
			return next, nil
		case err != nil:
			return next, err
		}
		next = append(next, fd)
		if _, opaque, err := fd.Getxattr(opaqueXattr); err != nil || opaque {
			return next, err
		}
	}
	return next, nil
}

// find looks for path and describes what the layers below have there: in is the
// directory of the highest layer that has it.
func (b *below) find(path string, st *unix.Stat_t) (in sys.FD, ok bool, err error) {
	parent, base := cut(path)
	hidden, err := b.hidden(parent)
	if err != nil || hidden {
		return 0, false, err
	}
	dirs, err := b.enter(parent)
	if err != nil {
		return 0, false, err
	}
	for _, d := range dirs {
		err := d.Lstat(base, st)
		switch {
		case err == nil:
			return d, !isWhiteout(st), nil
		case !errors.Is(err, unix.ENOENT):
			return 0, false, err
		}
	}
	return 0, false, nil
}

// hidden says whether the layer itself hides what is below in the directory path.
// What it has found of one is remembered for those within, since a thousand in one
// another would else be a million to look at.
func (b *below) hidden(path string) (bool, error) {
	whole := path
	for {
		if b.shown != "" && strings.HasPrefix(b.shown+"/", path+"/") {
			b.shown = whole
			return false, nil
		}
		d, err := b.u.dirs.open(path, false)
		if err != nil {
			return true, err
		}
		if _, opaque, err := d.fd.Getxattr(opaqueXattr); err != nil || opaque {
			return true, err
		}
		if path == "" {
			b.shown = whole
			return false, nil
		}
		path, _ = cut(path)
	}
}

// directory reads the attributes of the directory path; not ok if there is none.
func (b *below) directory(path string) (a attributes, ok bool, err error) {
	in, ok, err := b.find(path, &b.u.stat)
	if err != nil || !ok || b.u.stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		return a, false, err
	}
	_, base := cut(path)
	fd, err := in.Step(base)
	if err != nil {
		return a, false, err
	}
	defer fd.Close()
	a, err = attributesIn(fd)
	return a, err == nil, err
}
