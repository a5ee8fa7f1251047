package engine

import (
	"runtime"
	"strings"

	"hull/engine/cgroup"
)

// defaultPids is how many processes and threads a container may have.
const defaultPids = 2048

// limits are what the settings ask of the container's cgroup.
func (v values) limits() cgroup.Limits {
	l := cgroup.Limits{
		Devices: cgroup.DefaultDevices(), Pids: v.number("pids", defaultPids),
		Memory: v.number("memory", 0), MemorySwap: v.number("memory_swap", 0), CPUShares: v.number("cpu_shares", 0),
	}
	l.Pids = max(0, l.Pids) // -1 is none, as 0
	l.PidsIfPossible = v["pids"] == nil
	l.CPUs, _ = v["cpus"].(float64)
	if l.Memory == 0 {
		l.MemorySwap = 0
	}
	return l
}

// possible checks what this machine has to have, of what is new to the settings.
func (v values) possible(before values) error {
	cpus, _ := v["cpus"].(float64)
	if most := runtime.NumCPU(); cpus > float64(most) && v["cpus"] != before["cpus"] {
		return fail("set", "", Invalid, "the setting cpus was not changed: this machine has %d processors, so %g cannot be had", most, cpus)
	}
	return nil
}

// consistent checks what one setting demands of another.
func (v values) consistent() error {
	if err := v.removedAndRestarted(); err != nil {
		return err
	}
	if err := v.agreeOnNetwork(); err != nil {
		return err
	}
	memory, both := v.number("memory", 0), v.number("memory_swap", 0)
	switch {
	case both <= 0: // any swap, or Docker's default
	case memory == 0:
		return fail("set", "", Invalid,
			"memory_swap is the limit of memory and swap together, and counts only with a limit of memory: set memory first, or both at once in json; to take both away, empty memory_swap first")
	case both < memory:
		return fail("set", "", Invalid,
			"memory_swap is the limit of memory and swap together, so it cannot be less than memory; set both at once in json")
	}
	return nil
}

// applyLimits changes the limits of the run under way to those of other settings, and answers how to take that back.
func (s *supervisor) applyLimits(set values) (undo func(), err error) {
	undo = func() {}
	if s.run == nil || s.run.group == nil {
		return undo, nil
	}
	g, from := s.run.group, s.set.limits()
	restore := func() {
		if err := g.Set(from); err != nil {
			s.e.o.Logger.Warn("limits of a container cannot be restored", "container", s.id, "op", "set", "err", err)
		}
	}
	if err := g.Change(from, set.limits()); err != nil {
		restore()
		return undo, fail("set", s.id, kindOfErrno(err), "the limits of the container %s were not changed: %w", s.rec.Name, err)
	}
	s.e.crash(limitsApplied)
	return restore, nil
}

// limitsAgain sets the limits of a run that another daemon began: it may have died between a change and its record.
func (s *supervisor) limitsAgain() {
	if err := s.run.group.Set(s.set.limits()); err != nil {
		s.st.Error = "its limits cannot be set: " + err.Error()
	}
}

// memoryLimit is the limit as its user wrote it, empty for none.
func (s *supervisor) memoryLimit() string {
	if s.set.number("memory", 0) == 0 {
		return ""
	}
	return strings.TrimSpace(s.rec.Settings["memory"])
}
