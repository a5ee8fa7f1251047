package launch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"sort"
	"strings"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
	"hull/engine/plan"
)

// tree is a container's root as seen from outside, in which every link stays
// inside.
type tree struct {
	dir *os.File
	ids IDRange
	own map[string]bool // directories on which something of the container's own is mounted
}

// open opens a path in the root.
func (t *tree) open(name string, flags int, resolve uint64) (*os.File, error) {
	return sys.OpenIn(t.dir, name, flags, resolve)
}

// stat looks at what a path in the root leads to.
func (t *tree) stat(name string) (st unix.Stat_t, err error) {
	f, err := t.open(name, unix.O_PATH, 0)
	if err != nil {
		return st, err
	}
	defer f.Close()
	return sys.Stat(f)
}

// errIrregular is returned for what should be a regular file and is none.
var errIrregular = errors.New("not a regular file")

// errTooLong is returned for a file that is longer than it may be.
var errTooLong = errors.New("the file is too long")

// kernelFiles are the file systems whose regular files are the kernel's own. In
// a running container a link in an image may lead to them: to read /proc/kmsg
// takes the host's log away from it, and waits for more.
var kernelFiles = []int64{unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, mqueueMagic}

const mqueueMagic = 0x19800202

// read gives the content of a regular file of at most limit bytes. It is
// looked at first, because opening is an act with devices and pipes.
func (t *tree) read(name string, limit int64) ([]byte, error) {
	at, err := t.open(name, unix.O_PATH, 0)
	if err != nil {
		return nil, err
	}
	defer at.Close()
	st, err := sys.Stat(at)
	if err != nil {
		return nil, err
	}
	kind, err := sys.FileSystem(at)
	if err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || slices.Contains(kernelFiles, kind) {
		return nil, errIrregular
	}
	f, err := sys.Reopen(at, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = errTooLong
	}
	return b, err
}

// files looks at where the container's own files go.
func (t *tree) files(contents map[string][]byte) ([]plan.File, error) {
	var files []plan.File
	for name, content := range contents {
		itself, directory, err := t.covered(name)
		if err != nil {
			return nil, &stepError{op: "look at " + name, err: err}
		}
		if itself {
			continue // whoever mounts something there knows better
		}
		target, err := t.target(name)
		made := target == plan.Missing && t.own[path.Dir(name)]
		if directory && (err != nil || target != plan.Regular && !made) {
			continue // nothing is made or replaced in what is not the container's own
		}
		if err != nil {
			return nil, err
		}
		files = append(files, plan.File{Path: name, Content: content, Target: target})
	}
	sort.Slice(files, func(i, j int) bool { return files[i].Path < files[j].Path })
	return files, nil
}

// target looks at what is in the place of a file. Links on the way there are
// refused; one in its place is replaced.
func (t *tree) target(name string) (plan.Target, error) {
	refused := func(what string) (plan.Target, error) {
		return 0, &Error{Op: "bind " + name, Kind: Hostile, Text: fmt.Sprintf("%s cannot be put in its place: %s in the image", name, what)}
	}
	f, err := t.open(strings.TrimPrefix(name, "/"), unix.O_PATH|unix.O_NOFOLLOW, unix.RESOLVE_NO_SYMLINKS)
	switch {
	case errors.Is(err, unix.ENOENT):
		return plan.Missing, nil
	case errors.Is(err, unix.ELOOP):
		return refused(path.Dir(name) + " is a symbolic link")
	case errors.Is(err, unix.ENOTDIR):
		return refused(path.Dir(name) + " is not a directory")
	case err != nil:
		return 0, &stepError{op: "look at " + name, err: err}
	}
	defer f.Close()
	st, err := sys.Stat(f)
	if err != nil {
		return 0, &stepError{op: "look at " + name, err: err}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return plan.Regular, nil
	case unix.S_IFLNK:
		return plan.Link, nil
	}
	return refused("it is no regular file")
}
