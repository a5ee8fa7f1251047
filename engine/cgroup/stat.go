package cgroup

import (
	"path"
	"strconv"
)

// Stat is a group's counters; -1 for what this host does not count, and for limits that are not set.
type Stat struct {
	Pids, PidsMax                 int64
	Memory, MemoryPeak, MemoryMax int64 // bytes
	OOMKills                      int64
	CPUNanos, UserNanos, SysNanos int64
	Throttled, ThrottledNanos     int64 // how often, and for how long altogether
	InactiveFile, AnonymousMemory int64 // bytes, of Memory: page cache that can go at once; what cannot
}

// Stat reads the counters.
func (g *Group) Stat() (Stat, error) {
	s := Stat{
		Pids: -1, PidsMax: -1, Memory: -1, MemoryPeak: -1, MemoryMax: -1, OOMKills: -1, CPUNanos: -1,
		UserNanos: -1, SysNanos: -1, Throttled: -1, ThrottledNanos: -1, InactiveFile: -1, AnonymousMemory: -1,
	}
	if len(g.dirs) > 0 && !exists(g.dirs[0].path) {
		return s, &Error{Op: "stat", Group: g.id, Kind: NotFound, Err: errGone}
	}
	if d := g.of("pids"); d != nil {
		s.Pids, s.PidsMax = number(path.Join(d.path, "pids.current")), number(path.Join(d.path, "pids.max"))
	}
	if d := g.of("memory"); d != nil {
		s.memory(d)
	}
	if d := g.v2(); d != nil {
		s.cpuV2(d)
	} else {
		s.cpuV1(g)
	}
	return s, nil
}

func (s *Stat) memory(d *dir) {
	in := func(name string) string { return path.Join(d.path, name) }
	if d.V2 {
		s.Memory, s.MemoryPeak, s.MemoryMax = number(in("memory.current")), number(in("memory.peak")), number(in("memory.max"))
		s.OOMKills = key(keyed(in("memory.events")), "oom_kill")
		m := keyed(in("memory.stat"))
		s.InactiveFile, s.AnonymousMemory = key(m, "inactive_file"), key(m, "anon")
		return
	}
	s.Memory, s.MemoryPeak = number(in("memory.usage_in_bytes")), number(in("memory.max_usage_in_bytes"))
	if s.MemoryMax = number(in("memory.limit_in_bytes")); s.MemoryMax >= noLimitV1 {
		s.MemoryMax = -1
	}
	s.OOMKills = key(keyed(in("memory.oom_control")), "oom_kill")
	m := keyed(in("memory.stat"))
	s.InactiveFile, s.AnonymousMemory = key(m, "total_inactive_file"), key(m, "total_rss")
}

// noLimitV1 is about what version 1 shows for no limit: the highest number of whole pages, whatever their size.
const noLimitV1 = 1<<63 - 1<<20

func (s *Stat) cpuV2(d *dir) {
	m := keyed(path.Join(d.path, "cpu.stat"))
	for to, k := range map[*int64]string{
		&s.CPUNanos: "usage_usec", &s.UserNanos: "user_usec", &s.SysNanos: "system_usec", &s.ThrottledNanos: "throttled_usec",
	} {
		if n := key(m, k); n >= 0 {
			*to = n * 1000
		}
	}
	s.Throttled = key(m, "nr_throttled")
}

func (s *Stat) cpuV1(g *Group) {
	if d := g.of("cpuacct"); d != nil {
		s.CPUNanos = number(path.Join(d.path, "cpuacct.usage"))
		s.UserNanos, s.SysNanos = number(path.Join(d.path, "cpuacct.usage_user")), number(path.Join(d.path, "cpuacct.usage_sys"))
	}
	if d := g.of("cpu"); d != nil {
		m := keyed(path.Join(d.path, "cpu.stat"))
		s.Throttled, s.ThrottledNanos = key(m, "nr_throttled"), key(m, "throttled_time")
	}
}

// decimal writes a limit as both versions read it.
func decimal(n int64) string { return strconv.FormatInt(n, 10) }
