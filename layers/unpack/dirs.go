package unpack

import (
	"container/list"
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
)

const (
	openDirs    = 96 // directories kept open: deeper trees and wider ones open theirs again
	aliasesEach = 8  // further paths by which one of them is remembered
	maxLinks    = 40 // symbolic links followed in one path, as the kernel's
)

// errAbsent says that a directory is not in this layer, errGone that the layer
// says it is gone.
var (
	errAbsent = errors.New("there is no such directory in the layer")
	errGone   = errors.New("the layer itself removes the directory")
)

// dir is an open directory of the layer. Its path has no symbolic links.
type dir struct {
	path    string
	fd      sys.FD
	pins    int
	marked  bool     // it is known to carry overlay's origin mark, see whiteout
	aliases []string // paths through symbolic links that lead here
	at      *list.Element
}

// dirs opens the directories of a layer, each once as long as it is in use. It is
// the only place where a path of an image is walked.
type dirs struct {
	root   *dir
	known  map[string]*dir // by path and by alias
	recent *list.List      // of *dir, the latest used first; not the root
	depth  int
	// step is called before each component that is walked, and may forbid it.
	step func() error
	// implied is called with each directory that had to be made.
	implied func(parent *dir, base string, overWhiteout bool) error
}

func newDirs(root sys.FD, depth int) *dirs {
	return &dirs{root: &dir{fd: root, marked: true}, known: map[string]*dir{}, recent: list.New(), depth: depth}
}

// close closes all but the root, which is the caller's.
func (t *dirs) close() {
	for e := t.recent.Front(); e != nil; e = e.Next() {
		e.Value.(*dir).fd.Close()
	}
	t.recent.Init()
	clear(t.known)
}

// open opens a directory by its path, following symbolic links inside the layer.
// With create, missing ones are made. The dir is good until the next open, unless
// it is pinned.
func (t *dirs) open(path string, create bool) (*dir, error) {
	if path == "" {
		return t.root, nil
	}
	if d := t.known[path]; d != nil {
		t.recent.MoveToFront(d.at)
		return d, nil
	}
	d, err := t.walk(path, create)
	if err != nil {
		return nil, err
	}
	if d.path != path && len(d.aliases) < aliasesEach && d != t.root {
		d.aliases = append(d.aliases, path)
		t.known[path] = d
	}
	return d, nil
}

// walk goes to path one component after the other.
func (t *dirs) walk(path string, create bool) (*dir, error) {
	cur, rest := t.nearest(path)
	links := 0
	for rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		err := t.step()
		if err != nil {
			return nil, err
		}
		switch part {
		case "", ".":
			continue
		case "..": // out of a link's target; the path itself has none
			up, _ := cut(cur.path)
			cur, err = t.open(up, false)
		default:
			var next *dir
			next, err = t.child(cur, part, create)
			if errors.Is(err, unix.ELOOP) {
				var target string
				if target, err = cur.fd.Readlink(part); err != nil {
					return nil, err
				}
				if links++; links > maxLinks {
					return nil, corrupt(path, "more than %d symbolic links lead to it", maxLinks)
				}
				if strings.HasPrefix(target, "/") {
					cur = t.root
				}
				rest = target + "/" + rest
				continue
			}
			cur = next
		}
		if err != nil {
			return nil, err
		}
	}
	return cur, nil
}

// nearest is the deepest open directory on a path, and what is left of the path.
func (t *dirs) nearest(path string) (*dir, string) {
	for i := strings.LastIndexByte(path, '/'); i > 0; i = strings.LastIndexByte(path[:i], '/') {
		if d := t.known[path[:i]]; d != nil {
			t.recent.MoveToFront(d.at)
			return d, path[i+1:]
		}
	}
	return t.root, path
}

// child opens the directory base in d. A symbolic link is ELOOP.
func (t *dirs) child(d *dir, base string, create bool) (*dir, error) {
	path := join(d.path, base)
	if c := t.known[path]; c != nil && c.path == path {
		t.recent.MoveToFront(c.at)
		return c, nil
	}
	if len(path) > maxPath || strings.Count(path, "/") >= t.depth {
		return nil, tooLarge(path, "it lies too deep")
	}
	fd, err := d.fd.Step(base)
	switch {
	case err == nil:
		return t.add(path, fd), nil
	case errors.Is(err, unix.ENOENT):
		if !create {
			return nil, errAbsent
		}
		return t.make(d, base, false)
	case errors.Is(err, unix.ENOTDIR):
		var st unix.Stat_t
		if err := d.fd.Lstat(base, &st); err != nil {
			return nil, err
		}
		switch {
		case st.Mode&unix.S_IFMT == unix.S_IFLNK:
			return nil, unix.ELOOP
		case !isWhiteout(&st):
			return nil, corrupt(path, "it is not a directory, yet the layer has files in it")
		case !create:
			return nil, errGone
		}
		return t.make(d, base, true)
	}
	return nil, err
}

// make makes a directory that has no entry (yet).
func (t *dirs) make(d *dir, base string, overWhiteout bool) (*dir, error) {
	if err := t.implied(d, base, overWhiteout); err != nil {
		return nil, err
	}
	fd, err := d.fd.Step(base)
	if err != nil {
		return nil, err
	}
	return t.add(join(d.path, base), fd), nil
}

// add remembers an open directory, and closes the one longest unused.
func (t *dirs) add(path string, fd sys.FD) *dir {
	d := &dir{path: path, fd: fd}
	d.at = t.recent.PushFront(d)
	t.known[path] = d
	for e := t.recent.Back(); t.recent.Len() > openDirs && e != nil && e.Value != d; {
		old := e.Value.(*dir)
		e = e.Prev()
		if old.pins == 0 {
			t.drop(old)
		}
	}
	return d
}

func (t *dirs) drop(d *dir) {
	t.dropAliases(d)
	delete(t.known, d.path)
	t.recent.Remove(d.at)
	d.fd.Close()
}

func (t *dirs) dropAliases(d *dir) {
	for _, a := range d.aliases {
		if t.known[a] == d {
			delete(t.known, a)
		}
	}
	d.aliases = nil
}

// forget closes what lies at and below a path that was removed, and forgets every
// path that led through a link.
func (t *dirs) forget(path string) {
	for e := t.recent.Front(); e != nil; {
		d := e.Value.(*dir)
		e = e.Next()
		t.dropAliases(d)
		if d.path == path || strings.HasPrefix(d.path, path+"/") {
			t.drop(d)
		}
	}
}

// cut splits a path into what it lies in and its last component.
func cut(path string) (parent, base string) {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}

// isWhiteout knows overlay's mark for a name that is gone.
func isWhiteout(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}
