package layers

import (
	"context"
	"errors"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
)

// onlyPlaces says which of the places that a start has made in a container's upper
// directory are still no more than that: empty, with nothing of that name in the image.
// A directory of the image that is in upper for nothing else is one of them. The paths
// are relative.
func (s *Store) onlyPlaces(ctx context.Context, base *stored, upper *os.File, places []string) ([]string, error) {
	image, err := s.View(ctx, base.ID)
	if err != nil {
		return nil, err
	}
	defer image.Release()
	defer runtime.KeepAlive(upper)
	o := &omitting{upper: sys.Of(upper), image: sys.Of(image.Dir)}
	for _, p := range places {
		p = strings.Trim(p, "/")
		if err := o.place(p); err != nil {
			return nil, err
		}
	}
	return o.paths, nil
}

// omitting finds what a layer does without.
type omitting struct {
	upper, image sys.FD
	paths        []string
}

func (o *omitting) place(p string) error {
	there, err := present(o.image, p)
	if err != nil || there {
		return err
	}
	parent, base := path.Split(p)
	dir, err := descend(o.upper, parent)
	if err != nil || dir == 0 {
		return err
	}
	defer dir.Close()
	empty, err := isEmpty(dir, base)
	if err != nil || !empty {
		return err
	}
	o.paths = append(o.paths, p)
	if parent == "" {
		return nil
	}
	return o.parent(dir, strings.TrimSuffix(parent, "/"))
}

// parent takes a directory of the image that is in upper only for the places in it.
func (o *omitting) parent(dir sys.FD, p string) error {
	there, err := present(o.image, p)
	if err != nil || !there {
		return err
	}
	only := true
	err = dir.Entries(func(name string, _ uint8) error {
		only = only && slices.Contains(o.paths, p+"/"+name)
		return nil
	})
	if err == nil && only {
		o.paths = append(o.paths, p)
	}
	return err
}

// descend opens a directory below another; 0 if there is none.
func descend(at sys.FD, p string) (sys.FD, error) {
	fd, err := at.Open(".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	for part := range strings.SplitSeq(strings.Trim(p, "/"), "/") {
		if err != nil || part == "" {
			break
		}
		up := fd
		fd, err = up.Step(part)
		up.Close()
	}
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return 0, nil
	}
	return fd, err
}

// present says whether there is a file of that name.
func present(at sys.FD, p string) (bool, error) {
	parent, base := path.Split(p)
	dir, err := descend(at, parent)
	if err != nil || dir == 0 {
		return false, err
	}
	defer dir.Close()
	var st unix.Stat_t
	err = dir.Lstat(base, &st)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return err == nil, err
}

// isEmpty says whether there is an empty file or directory of that name.
func isEmpty(dir sys.FD, base string) (bool, error) {
	var st unix.Stat_t
	err := dir.Lstat(base, &st)
	switch {
	case errors.Is(err, unix.ENOENT):
		return false, nil
	case err != nil:
		return false, err
	case st.Mode&unix.S_IFMT == unix.S_IFREG:
		return st.Size == 0 && st.Nlink == 1, nil
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return false, nil
	}
	fd, err := dir.Step(base)
	if err != nil {
		return false, err
	}
	defer fd.Close()
	empty := true
	err = fd.Entries(func(string, uint8) error { empty = false; return nil })
	return empty, err
}
