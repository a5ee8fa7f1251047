package fs

import "sync"

// imageDir is what images lie in one directory below images/, and which directories.
type imageDir struct {
	images []*Image
	dirs   []string
}

// imageIndex is the store's list as directories. It is made again when the store has another list, so that a listing
// costs what it shows, not what the store holds.
type imageIndex struct {
	mu   sync.Mutex
	of   []*Image // whose index it is
	dirs map[string]*imageDir
}

// images returns the directories by their familiar path; "" is images/ itself. They are not changed any more.
func (t *Tree) images() map[string]*imageDir {
	list := t.Images.List()
	x := &t.index
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.dirs == nil || !same(x.of, list) {
		x.of, x.dirs = list, index(list)
	}
	return x.dirs
}

// same tells whether two lists are one: lists never change, so their first element's place says so.
func same(a, b []*Image) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func index(list []*Image) map[string]*imageDir {
	dirs := map[string]*imageDir{}
	for _, i := range list {
		if i.Reference == "" {
			continue
		}
		d := enter(dirs, parent(i.Reference))
		d.images = append(d.images, i)
	}
	return dirs
}

// enter makes a directory and those above it.
func enter(dirs map[string]*imageDir, path string) *imageDir {
	if d := dirs[path]; d != nil {
		return d
	}
	d := &imageDir{}
	dirs[path] = d
	if path != "" {
		above := enter(dirs, parent(path))
		above.dirs = append(above.dirs, path)
	}
	return d
}
