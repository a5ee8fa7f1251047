package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
	"hull/engine/plan"
)

// Mount is something that a start mounts in the container's root, in a place
// that is made if it is missing.
type Mount struct {
	Target string // absolute, clean, not the root
	// Tree is a detached mount. Nil: the container gets a tmpfs there.
	Tree *os.File
	// ReadOnly and Options are a tmpfs's: "size=64m", "mode=1777", "exec". It
	// is nosuid, nodev and noexec unless they say otherwise.
	ReadOnly bool
	Options  []string
	// Own is what is the container's own: files of Spec.Files that are missing
	// are made in it.
	Own bool
}

// fill mounts the root with all that is mounted in it, and answers what a
// container sees but for /proc and /sys.
func (p *Parked) fill(ctx context.Context, spec Spec) (*tree, error) {
	mounts, err := spec.Mounts(p.users)
	defer func() {
		for _, m := range mounts {
			if m.Tree != nil {
				_ = m.Tree.Close()
			}
		}
	}()
	if err != nil {
		return nil, &stepError{op: "mount volumes", err: err}
	}
	files := []*os.File{p.root}
	var list []plan.RootMount
	for _, m := range mounts {
		r := plan.RootMount{Target: m.Target}
		if m.Tree == nil {
			r.Dir, r.Tmpfs = true, m.tmpfs(&tree{dir: p.root, ids: spec.Range})
		} else {
			if r.Dir, err = sys.IsDir(m.Tree); err != nil {
				return nil, &stepError{op: "look at what is to be mounted at " + m.Target, err: err}
			}
			files = append(files, m.Tree)
		}
		list = append(list, r)
	}
	if err := p.stub.Send(ctx, plan.Compile(plan.Fill(spec.Privileged, list)), files...); err != nil {
		return nil, err
	}
	root, err := p.stub.Await(ctx)
	if err == nil && root == nil {
		err = errors.New("the stub showed no root")
	}
	filled := &tree{dir: root, ids: spec.Range, own: map[string]bool{}}
	for _, m := range mounts {
		filled.own[m.Target] = m.Own
	}
	return filled, err
}

// tmpfs says how a tmpfs is mounted. Like a bind mount it has the mode of what
// it covers, unless it is told another.
func (m Mount) tmpfs(root *tree) *plan.Tmpfs {
	flags := map[string]uintptr{"nosuid": unix.MS_NOSUID, "nodev": unix.MS_NODEV, "noexec": unix.MS_NOEXEC}
	other := map[string]uintptr{
		"noatime": unix.MS_NOATIME, "nodiratime": unix.MS_NODIRATIME, "relatime": unix.MS_RELATIME,
		"strictatime": unix.MS_STRICTATIME, "sync": unix.MS_SYNCHRONOUS,
	}
	var data []string
	for _, o := range m.Options {
		switch {
		case strings.Contains(o, "="):
			data = append(data, o)
		case flags["no"+o] != 0: // exec, suid, dev
			delete(flags, "no"+o)
		default:
			flags[o] |= other[o]
		}
	}
	if !slices.ContainsFunc(data, func(o string) bool { return strings.HasPrefix(o, "mode=") }) {
		mode := uint32(0o1777)
		if st, err := root.stat(m.Target); err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			mode = st.Mode & 0o7777
		}
		data = append(data, fmt.Sprintf("mode=%o", mode))
	}
	t := &plan.Tmpfs{Data: strings.Join(data, ",")}
	if m.ReadOnly {
		t.Flags |= unix.MS_RDONLY
	}
	for _, f := range flags {
		t.Flags |= f
	}
	return t
}

// covered tells, of a file of the container's own, whether something is mounted
// in its place, or where its directory is.
func (t *tree) covered(name string) (itself, directory bool, err error) {
	root, err := sys.MountID(t.dir)
	if err != nil {
		return false, false, err
	}
	on := func(path string) (uint64, bool, error) {
		f, err := t.open(path, unix.O_PATH|unix.O_NOFOLLOW, 0)
		if err != nil {
			return 0, false, nil //nolint:nilerr // it is not there, or target says what is wrong with it
		}
		defer f.Close()
		id, err := sys.MountID(f)
		return id, true, err
	}
	dir, there, err := on(name[:strings.LastIndexByte(name, '/')+1])
	if err != nil || !there {
		return false, false, err
	}
	id, there, err := on(name)
	return there && id != dir, dir != root, err
}
