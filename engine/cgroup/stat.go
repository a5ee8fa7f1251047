package cgroup

import (
	"errors"
	"path"
	"strconv"
	"strings"
)

// Stat is a group's counters; -1 for what this host does not count, and for limits that are not set.
type Stat struct {
	CPUNanos, UserNanos, SysNanos int64
	Throttled, ThrottledNanos     int64 // how often, and for how long altogether

	Memory, MemoryPeak, MemoryMax int64 // bytes
	Anonymous, File, InactiveFile int64 // bytes, of Memory: what has no file behind it; page cache; and of that what can go at once
	Swap                          int64 // bytes
	OOMKills                      int64

	Pids, PidsMax int64

	ReadBytes, WrittenBytes int64 // of block devices, all together
	Reads, Writes           int64
}

var errGone = errors.New("the cgroup is gone")

// Stat reads the counters.
func (g *Group) Stat() (Stat, error) {
	s := Stat{
		CPUNanos: -1, UserNanos: -1, SysNanos: -1, Throttled: -1, ThrottledNanos: -1,
		Memory: -1, MemoryPeak: -1, MemoryMax: -1, Anonymous: -1, File: -1, InactiveFile: -1, Swap: -1, OOMKills: -1,
		Pids: -1, PidsMax: -1, ReadBytes: -1, WrittenBytes: -1, Reads: -1, Writes: -1,
	}
	if len(g.dirs) > 0 && !exists(g.dirs[0].path) {
		return s, &Error{Op: "stat", Of: g.id, Kind: NotFound, Err: errGone}
	}
	if d := g.of("pids"); d != nil {
		s.Pids, s.PidsMax = number(path.Join(d.path, "pids.current")), number(path.Join(d.path, "pids.max"))
	}
	if d := g.of("memory"); d != nil {
		s.memory(d)
	}
	if d := g.v2(); d != nil && g.of("cpuacct") == nil { // version 2 counts time without a controller too
		s.cpuV2(d)
	} else {
		s.cpuV1(g)
	}
	switch {
	case g.of("io") != nil:
		s.ioV2(g.of("io"))
	case g.of("blkio") != nil:
		s.ioV1(g.of("blkio"))
	}
	return s, nil
}

// OOMKills is how often the kernel has killed something in the group for want of memory, and 0 where it does not count.
func (g *Group) OOMKills() int64 {
	d := g.of("memory")
	if d == nil {
		return 0
	}
	return max(0, key(keyed(path.Join(d.path, d.oomFile())), "oom_kill"))
}

// oomFile is the file with the line "oom_kill N".
func (d *dir) oomFile() string {
	if d.V2 {
		return "memory.events"
	}
	return "memory.oom_control"
}

func (s *Stat) memory(d *dir) {
	in := func(name string) string { return path.Join(d.path, name) }
	s.OOMKills = key(keyed(in(d.oomFile())), "oom_kill")
	m := keyed(in("memory.stat"))
	if d.V2 {
		s.Memory, s.MemoryPeak, s.MemoryMax = number(in("memory.current")), number(in("memory.peak")), number(in("memory.max"))
		s.Swap = number(in("memory.swap.current"))
		s.Anonymous, s.File, s.InactiveFile = key(m, "anon"), key(m, "file"), key(m, "inactive_file")
		return
	}
	s.Memory, s.MemoryPeak = number(in("memory.usage_in_bytes")), number(in("memory.max_usage_in_bytes"))
	if s.MemoryMax = number(in("memory.limit_in_bytes")); s.MemoryMax >= noLimitV1 {
		s.MemoryMax = -1
	}
	s.Swap = key(m, "total_swap")
	s.Anonymous, s.File, s.InactiveFile = key(m, "total_rss"), key(m, "total_cache"), key(m, "total_inactive_file")
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

// ioV2 adds up the lines of the devices: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0".
func (s *Stat) ioV2(d *dir) {
	text, err := readFile(path.Join(d.path, "io.stat"))
	if err != nil {
		return
	}
	sums := map[string]int64{}
	for field := range strings.FieldsSeq(text) {
		k, v, _ := strings.Cut(field, "=")
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			sums[k] += n
		}
	}
	s.ReadBytes, s.WrittenBytes, s.Reads, s.Writes = sums["rbytes"], sums["wbytes"], sums["rios"], sums["wios"]
}

// ioV1 adds up the lines of the devices: "8:0 Read 1".
func (s *Stat) ioV1(d *dir) {
	for file, to := range map[string][2]*int64{
		"blkio.throttle.io_service_bytes_recursive": {&s.ReadBytes, &s.WrittenBytes},
		"blkio.throttle.io_serviced_recursive":      {&s.Reads, &s.Writes},
	} {
		text, err := readFile(path.Join(d.path, file))
		if err != nil {
			continue
		}
		*to[0], *to[1] = 0, 0
		for line := range strings.Lines(text) {
			f := strings.Fields(line)
			if len(f) != 3 {
				continue
			}
			n, err := strconv.ParseInt(f[2], 10, 64)
			switch {
			case err != nil:
			case f[1] == "Read":
				*to[0] += n
			case f[1] == "Write":
				*to[1] += n
			}
		}
	}
}

// decimal writes a limit as both versions read it.
func decimal(n int64) string { return strconv.FormatInt(n, 10) }
