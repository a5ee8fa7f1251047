package engine

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/cgroup"
	"hull/engine/internal/sys"
	"hull/engine/network"
)

// Process is one that runs in a container, as the host sees it.
type Process struct {
	UID         uint32
	PID, Parent int
	Name        string   // what the kernel calls it
	Args        []string // none of a process that has ended, or has written over them
	Terminal    int64    // the device's number, as in /proc; 0 if it has none
	Spent       time.Duration
	Began       time.Time
}

// Processes lists the processes of a container; none if it does not run. One that ends meanwhile is left out.
func (e *Engine) Processes(id string) ([]Process, error) {
	var pids []int
	err := e.measure("processes", id, func(g group) (err error) {
		pids, err = g.Processes()
		return err
	})
	var all []Process
	booted := bootTime()
	for _, pid := range pids {
		if p, ok := lookAt(pid, booted); ok {
			all = append(all, p)
		}
	}
	return all, err
}

func lookAt(pid int, booted time.Time) (Process, bool) {
	dir := "/proc/" + strconv.Itoa(pid)
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return Process{}, false
	}
	stat, err := sys.ReadStat(pid)
	if err != nil {
		return Process{}, false
	}
	p := Process{
		UID: st.Uid, PID: pid, Parent: stat.Parent, Name: stat.Name, Terminal: stat.Terminal, Spent: stat.Spent,
		Began: booted.Add(stat.Began),
	}
	if line, err := os.ReadFile(dir + "/cmdline"); err == nil && len(line) > 0 {
		for _, arg := range bytes.Split(bytes.TrimRight(line, "\x00"), []byte{0}) {
			p.Args = append(p.Args, string(arg))
		}
	}
	return p, true
}

func bootTime() time.Time {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return time.Now()
	}
	return time.Now().Add(-time.Duration(t.Nano()))
}

// Stats answers the counters of a container's cgroup; nil if it does not run.
func (e *Engine) Stats(id string) (stats *cgroup.Stat, err error) {
	err = e.measure("stats", id, func(g group) error {
		s, err := g.Stat()
		if err == nil {
			stats = &s
		}
		return err
	})
	return stats, err
}

// Traffic answers what has gone through a container's places on networks in this run; nil if it does not run, or has none.
func (e *Engine) Traffic(id string) (*network.Traffic, error) {
	s, err := e.lookup("stats", id)
	if err != nil {
		return nil, err
	}
	c := s.snapshot.Load()
	if e.networks == nil || !c.State.Alive() || len(c.Endpoints) == 0 {
		return nil, nil
	}
	t, err := e.networks.Traffic(c.Endpoints)
	return &t, err
}

// measure looks at a container's cgroup, beside its supervisor: it may go at any moment, which is no error.
func (e *Engine) measure(op, id string, look func(group) error) error {
	s, err := e.lookup(op, id)
	if err != nil {
		return err
	}
	alive := func() bool { return s.snapshot.Load().State.Alive() }
	if !alive() {
		return nil
	}
	g, err := e.parts.groups.Open(s.snapshot.Load().group)
	if err == nil {
		err = look(g)
	}
	if err != nil && alive() {
		return fail(op, s.id, kindOfErrno(err), "the container's cgroup cannot be read: %w", err)
	}
	return nil
}
