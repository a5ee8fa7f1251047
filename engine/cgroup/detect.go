package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Mode is how the host has its cgroups mounted.
type Mode uint8

// The modes.
const (
	V1 Mode = iota
	V2
	Hybrid
)

func (m Mode) String() string { return [...]string{"v1", "v2", "hybrid"}[m] }

// Hierarchy is one mounted cgroup file system.
type Hierarchy struct {
	Controllers []string // those hull uses
	Mount       string   // where it is mounted
	Base        string   // the directory in which hull/TREE/CONTAINER is made
	V2          bool
}

func (h *Hierarchy) has(controller string) bool { return slices.Contains(h.Controllers, controller) }

// Host is what Detect found.
type Host struct {
	Mode        Mode
	Hierarchies []Hierarchy // those that groups are made in
	Missing     []Lack      // what cannot be had here, for `hull doctor`
}

// Lack is a controller that cannot be used here.
type Lack struct {
	Controller string // version 1's name of it
	Sentence   string // what is lost by that
}

// used are version 1's controllers that hull has a use for. Each mount of them is one more attach at a start.
var used = []string{"pids", "memory", "devices", "freezer", "cpu", "cpuacct", "blkio"}

// usedV2 are version 2's; freezing, killing and the device filter need none.
var usedV2 = []string{"pids", "memory", "cpu", "io"}

// Detect finds the host's cgroups as this process may use them.
func Detect() (*Host, error) {
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer func() { _ = mounts.Close() }()
	own, err := os.Open("/proc/self/cgroup")
	if errors.Is(err, os.ErrNotExist) {
		return nil, fail("detect", "", Unsupported, "this kernel has no cgroups")
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = own.Close() }()
	return detect(mounts, own, readFile)
}

// detect is Detect of given texts; read gives a cgroup's file.
func detect(mountinfo, own io.Reader, read func(name string) (string, error)) (*Host, error) {
	paths, err := parseOwn(own)
	if err != nil {
		return nil, err
	}
	all, err := parseMounts(mountinfo, paths)
	if err != nil {
		return nil, err
	}
	h := &Host{}
	var v1 []Hierarchy
	var v2 *Hierarchy
	for i := range all {
		if all[i].V2 {
			v2 = &all[i]
		} else {
			v1 = append(v1, all[i])
		}
	}
	switch {
	case v2 == nil && len(v1) == 0:
		return nil, fail("detect", "", Unsupported, "no cgroup file system is mounted; mount one on /sys/fs/cgroup")
	case v2 == nil:
		h.Mode = V1
	case len(v1) == 0:
		h.Mode = V2
	default:
		h.Mode = Hybrid
	}
	h.Hierarchies = v1
	if v2 != nil {
		v2.place(read)
		have := func(c string) bool { return slices.ContainsFunc(v1, func(o Hierarchy) bool { return o.has(c) }) }
		if !have("devices") || slices.ContainsFunc(v2.Controllers, func(c string) bool { return c != "io" && !have(c) }) {
			h.Hierarchies = append(h.Hierarchies, *v2)
		}
	}
	h.findMissing()
	return h, nil
}

// place finds the nearest cgroup at or above this process's own whose children can have controllers: one without
// processes, or the root, which is the only one without a file cgroup.type. Where that is does not depend on controllers:
// hull hands them down, and the next daemon must find its groups. To have are those of the top, if nothing on the way
// from there keeps them from being handed down: systemd gives sessions memory and pids alone.
func (h *Hierarchy) place(read func(string) (string, error)) {
	in := func(dir string) []string {
		s, _ := read(path.Join(dir, "cgroup.controllers"))
		have := strings.Fields(s)
		return slices.DeleteFunc(slices.Clone(usedV2), func(c string) bool { return !slices.Contains(have, c) })
	}
	found, free := false, true
	for dir := h.Base; ; dir = path.Dir(dir) {
		procs, err := read(path.Join(dir, "cgroup.procs"))
		_, typed := read(path.Join(dir, "cgroup.type"))
		can := err == nil && (strings.TrimSpace(procs) == "" || errors.Is(typed, os.ErrNotExist))
		switch {
		case !found && can:
			h.Base, h.Controllers, found = dir, in(dir), true
		case found && !can:
			free = false
		}
		if dir == h.Mount || len(dir) <= 1 {
			break // if nothing was found: no limits, but groups all the same
		}
	}
	if top := in(h.Mount); found && free && len(top) > len(h.Controllers) {
		h.Controllers = top
	}
}

func (h *Host) findMissing() {
	for _, c := range []struct{ name, lost string }{
		{"pids", "the number of a container's processes is not limited"},
		{"memory", "memory limits, and knowing that memory ran out, are not available"},
		{"cpu", "CPU limits are not available"},
		{"devices", "the device filter is not available"},
		{"freezer", "pause is not available"},
		{"blkio", "what containers read and write is not counted"},
	} {
		if !slices.ContainsFunc(h.Hierarchies, func(o Hierarchy) bool {
			return o.has(c.name) || o.V2 && (c.name == "devices" || c.name == "freezer" || c.name == "blkio" && o.has("io"))
		}) {
			h.Missing = append(h.Missing, Lack{c.name, fmt.Sprintf("there is no usable %s cgroup controller: %s", c.name, c.lost)})
		}
	}
}

// parseOwn reads /proc/self/cgroup: "4:cpu,cpuacct:/path" lines. The key of version 2 is "".
func parseOwn(r io.Reader) (map[string]string, error) {
	paths := map[string]string{}
	s := bufio.NewScanner(r)
	for s.Scan() {
		_, rest, ok := strings.Cut(s.Text(), ":")
		controllers, p, ok2 := strings.Cut(rest, ":")
		if !ok || !ok2 {
			continue
		}
		for c := range strings.SplitSeq(controllers, ",") {
			paths[c] = p
		}
	}
	return paths, s.Err()
}

// parseMounts reads /proc/self/mountinfo:
//
//	36 35 98:0 /root /sys/fs/cgroup/cpu rw,noatime shared:1 - cgroup cgroup rw,cpu,cpuacct
//
// A hierarchy that is mounted more than once counts once.
func parseMounts(r io.Reader, own map[string]string) ([]Hierarchy, error) {
	var all []Hierarchy
	seen := map[string]bool{}
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		before, after, ok := strings.Cut(s.Text(), " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 5 || len(g) < 3 {
			continue
		}
		root, mount := unescape(f[3]), unescape(f[4])
		h := Hierarchy{Mount: mount}
		var p string
		switch g[0] {
		case "cgroup2":
			h.V2, p = true, own[""]
		case "cgroup":
			options := strings.Split(g[2], ",")
			h.Controllers = slices.DeleteFunc(slices.Clone(used), func(c string) bool { return !slices.Contains(options, c) })
			if len(h.Controllers) == 0 {
				continue
			}
			p = own[h.Controllers[0]]
		default:
			continue
		}
		key := fmt.Sprint(h.V2, h.Controllers)
		if seen[key] {
			continue
		}
		seen[key] = true
		h.Base = mount
		// Outside of what is mounted (a container with a namespace of its own made later), the mount's root must do.
		if rel, err := filepath.Rel(root, p); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
			h.Base = path.Join(mount, rel)
		}
		all = append(all, h)
	}
	return all, s.Err()
}

// unescape undoes mountinfo's octal escapes of space, tab, newline and backslash.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
