package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// top is the directory that all trees of all hull mounts are in.
const top = "hull"

// Tree is a directory of groups in each hierarchy: those of one hull mount. It is safe for use by many goroutines.
type Tree struct {
	host *Host
	id   string

	mu   sync.Mutex
	made bool
}

// Tree gives the groups below hull/ID. Nothing is made yet.
func (h *Host) Tree(id string) *Tree { return &Tree{host: h, id: id} }

// Create makes a group. On failure nothing is left of it.
func (t *Tree) Create(id string, l Limits) (*Group, error) {
	g, err := t.group(id)
	if err != nil {
		return nil, err
	}
	if err = t.make(); err == nil {
		err = g.mkdir()
	}
	if errors.Is(err, os.ErrNotExist) { // systemd removes what is empty below a session that ends
		t.forget()
		if err = t.make(); err == nil {
			err = g.mkdir()
		}
	}
	if err != nil {
		return nil, err
	}
	if err := g.limitFresh(l); err != nil {
		for _, d := range g.dirs {
			_ = unix.Rmdir(d.path)
		}
		return nil, err
	}
	return g, nil
}

// mkdir makes the group's directories, or none.
func (g *Group) mkdir() error {
	for i, d := range g.dirs {
		err := os.Mkdir(d.path, 0o755)
		if err == nil {
			continue
		}
		for _, made := range g.dirs[:i] {
			_ = unix.Rmdir(made.path)
		}
		if errors.Is(err, os.ErrExist) {
			return fail("create", g.id, Exists, "the cgroup %s exists already", d.path)
		}
		return system("create", g.id, err)
	}
	return nil
}

// Open gives a group that was created earlier, by this process or another. NotFound if no part of it is there.
func (t *Tree) Open(id string) (*Group, error) {
	g, err := t.group(id)
	if err != nil {
		return nil, err
	}
	g.dirs = slices.DeleteFunc(g.dirs, func(d dir) bool { return !exists(d.path) })
	if len(g.dirs) == 0 {
		return nil, fail("open", id, NotFound, "there is no cgroup %s/%s/%s", top, t.id, id)
	}
	return g, nil
}

// Of names the group of this tree that a process is in; "" if it is in none, or there is no such process.
func (t *Tree) Of(pid int) string {
	s, err := readFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(s) {
		if _, below, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "/"+path.Join(top, t.id)+"/"); ok {
			name, _, _ := strings.Cut(below, "/") // a container may have made groups of its own in it
			return name
		}
	}
	return ""
}

func (t *Tree) group(id string) (*Group, error) {
	if !valid(t.id) || !valid(id) {
		return nil, fail("name", id, Invalid, "%q cannot be the name of a cgroup", id)
	}
	g := &Group{id: id}
	for i := range t.host.Hierarchies {
		h := &t.host.Hierarchies[i]
		g.dirs = append(g.dirs, dir{h, path.Join(t.path(h), id)})
	}
	return g, nil
}

func (t *Tree) path(h *Hierarchy) string { return path.Join(h.Base, top, t.id) }

// make makes the tree's own directories, once. What all groups are to inherit is set here.
func (t *Tree) make() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.made {
		return nil
	}
	if !valid(t.id) {
		return fail("name", t.id, Invalid, "%q cannot be the name of a cgroup", t.id)
	}
	for i := range t.host.Hierarchies {
		h := &t.host.Hierarchies[i]
		if err := h.handDown(path.Dir(h.Base)); err != nil {
			return system("create", t.id, err)
		}
		for _, d := range []string{path.Join(h.Base, top), t.path(h)} {
			if err := h.enable(path.Dir(d)); err != nil {
				return system("create", t.id, err)
			}
			if err := os.Mkdir(d, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
				return system("create", t.id, err)
			}
			if h.has("memory") && !h.V2 { // the default of newer kernels; elsewhere it can be refused, and limits hold as well
				_ = write(path.Join(d, "memory.use_hierarchy"), "1")
			}
		}
		if err := h.enable(t.path(h)); err != nil {
			return system("create", t.id, err)
		}
	}
	t.made = true
	return nil
}

// handDown gives the cgroups from the top of a hierarchy of version 2 down to the children of dir its controllers, as
// far as they have not got them.
func (h *Hierarchy) handDown(dir string) error {
	if !h.V2 || h.Base == h.Mount || len(dir) < len(h.Mount) {
		return nil
	}
	have, err := readFile(path.Join(h.Base, "cgroup.controllers"))
	if err != nil {
		return err
	}
	given := strings.Fields(have)
	if !slices.ContainsFunc(h.Controllers, func(c string) bool { return !slices.Contains(given, c) }) {
		return nil
	}
	if err := h.handDown(path.Dir(dir)); err != nil {
		return err
	}
	return h.enable(dir)
}

// enable has the children of a cgroup of version 2 have the controllers: each directory on the way hands them down.
func (h *Hierarchy) enable(dir string) error {
	if !h.V2 {
		return nil
	}
	for _, c := range h.Controllers {
		if err := write(path.Join(dir, "cgroup.subtree_control"), "+"+c); err != nil {
			return err
		}
	}
	return nil
}

// forget has the tree's directories made again.
func (t *Tree) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.made = false
}

// List names the groups that are there, or parts of them.
func (t *Tree) List() ([]string, error) {
	var ids []string
	for i := range t.host.Hierarchies {
		names, err := subdirectories(t.path(&t.host.Hierarchies[i]))
		if err != nil {
			return nil, system("list", t.id, err)
		}
		ids = append(ids, names...)
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// Sweep kills and removes the groups of this tree that keep does not want. It goes on after a failure.
func (t *Tree) Sweep(ctx context.Context, keep func(id string) bool) error {
	ids, err := t.List()
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		if keep(id) {
			continue
		}
		g, err := t.Open(id)
		if IsKind(err, NotFound) {
			continue
		}
		if err == nil {
			err = errors.Join(g.Kill(ctx), g.Remove(ctx))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Remove removes the tree itself, Busy if groups are left in it; and hull's directory, if this was the last tree.
func (t *Tree) Remove() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.made = false
	for i := range t.host.Hierarchies {
		d := t.path(&t.host.Hierarchies[i])
		if err := unix.Rmdir(d); err != nil && !errors.Is(err, unix.ENOENT) {
			return fail("remove", t.id, Busy, "the cgroup %s could not be removed: %w", d, err)
		}
		_ = unix.Rmdir(path.Dir(d))
	}
	return nil
}

// valid is strict: names are made by hull.
func valid(id string) bool {
	if id == "" || len(id) > 128 || id[0] == '.' {
		return false
	}
	return strings.IndexFunc(id, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_' || r == '.')
	}) < 0
}
