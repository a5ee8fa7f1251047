package launch

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
	"hull/engine/plan"
)

// ways parts the ways into cgroups: the directory in which a process is born,
// if there is one, and the files by which it joins the others. To join a version 2
// cgroup later would wait for a grace period of the kernel.
func ways(cgroups []*os.File) (born *os.File, joins []*os.File, err error) {
	for _, f := range cgroups {
		st, err := sys.Stat(f)
		if err != nil {
			return nil, nil, &stepError{op: "look at a cgroup", err: err}
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			born = f
		} else {
			joins = append(joins, f)
		}
	}
	return born, joins, nil
}

// hierarchies finds the cgroup hierarchies that ways into them belong to, so that the container is shown those and no others: in a hierarchy it
// has not joined, it would see the host's groups.
func (s *stages) hierarchies(cgroups []*os.File) ([]plan.CgroupMount, error) {
	ids := make([]uint64, len(cgroups))
	for i, f := range cgroups {
		var err error
		if ids[i], err = sys.MountID(f); err != nil {
			return nil, &stepError{op: "look at a cgroup", err: err}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown == nil || !slices.Equal(ids, s.mounted) {
		shown, err := hierarchiesOf(ids)
		if err != nil {
			return nil, err
		}
		s.mounted, s.shown = ids, shown
	}
	return s.shown, nil
}

// hierarchiesOf finds them by the numbers of their mounts.
func hierarchiesOf(ids []uint64) ([]plan.CgroupMount, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, &stepError{op: "read the mounts", err: err}
	}
	byID := map[uint64]plan.CgroupMount{}
	for line := range strings.Lines(string(table)) {
		if id, m, ok := hierarchy(line); ok {
			byID[id] = m
		}
	}
	var mounts []plan.CgroupMount
	for _, mount := range ids {
		// One that is mounted where we do not see it is joined, not shown.
		if m, ok := byID[mount]; ok && !slices.Contains(mounts, m) {
			mounts = append(mounts, m)
		}
	}
	if len(mounts) == 1 && mounts[0].V2 {
		return []plan.CgroupMount{{V2: true}}, nil
	}
	slices.SortFunc(mounts, func(a, b plan.CgroupMount) int { return strings.Compare(a.Dir, b.Dir) })
	return mounts, nil
}

// hierarchy reads a line of mountinfo:
//
//	36 35 98:0 / /sys/fs/cgroup/cpu rw,noatime shared:1 - cgroup cgroup rw,cpu
func hierarchy(line string) (id uint64, m plan.CgroupMount, ok bool) {
	mount, fs, found := strings.Cut(strings.TrimSpace(line), " - ")
	fields := strings.Fields(fs)
	number, _, _ := strings.Cut(mount, " ")
	id, err := strconv.ParseUint(number, 10, 64)
	if !found || err != nil || len(fields) < 3 {
		return 0, m, false
	}
	switch fields[0] {
	case "cgroup2":
		return id, plan.CgroupMount{Dir: "unified", V2: true}, true
	case "cgroup":
	default:
		return 0, m, false
	}
	var names []string
	for o := range strings.SplitSeq(fields[2], ",") {
		switch {
		case o == "rw", o == "ro", o == "none", o == "xattr", o == "noprefix", o == "clone_children", o == "cpuset_v2_mode", strings.HasPrefix(o, "release_agent="):
		case strings.HasPrefix(o, "name="):
			return id, plan.CgroupMount{Dir: strings.TrimPrefix(o, "name="), Data: "none," + o}, true
		default:
			names = append(names, o)
		}
	}
	list := strings.Join(names, ",")
	return id, plan.CgroupMount{Dir: list, Data: list}, list != "" && !strings.Contains(list, "/")
}
