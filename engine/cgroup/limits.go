package cgroup

import (
	"errors"
	"fmt"
	"math"
	"path"

	"golang.org/x/sys/unix"
)

// Limits of a group, in the terms of docker run's flags. The zero value limits nothing, and denies all devices.
type Limits struct {
	Pids int64 // most processes and threads; 0 is no limit
	// PidsIfPossible is set where nobody asked for the limit of processes: a host that has none then does not fail.
	PidsIfPossible bool
	// Devices are all that may be used; everything else is denied. They are set when a group is made, and never changed.
	Devices []Device
	// AllDevices leaves the devices as they are for hull itself.
	AllDevices bool
	Memory     int64 // bytes; 0 is no limit
	// MemorySwap is bytes of memory and swap together, and counts only beside Memory: 0 is twice Memory where the kernel
	// counts swap, NoLimit is none.
	MemorySwap int64
	CPUs       float64 // how many processors' time; 0 is no limit
	CPUShares  int64   // weight against other groups, 2 to 262144; 0 is the default of 1024
}

// NoLimit stands for none where 0 has another meaning.
const NoLimit = -1

// Set writes all limits but the devices, whatever they are now.
func (g *Group) Set(l Limits) error { return g.limit(nil, l) }

// Change writes those limits, of all but the devices, in which to differs from what is in force.
func (g *Group) Change(from, to Limits) error { return g.limit(&from, to) }

// limitFresh writes the limits of a group that has just been made.
func (g *Group) limitFresh(l Limits) error {
	if !l.AllDevices {
		if err := g.limitDevices(l.Devices); err != nil {
			return err
		}
	}
	return g.Change(Limits{}, l)
}

// limit writes the limits that differ from those in force; all if these are not known.
func (g *Group) limit(from *Limits, to Limits) error {
	if to.Pids < 0 || to.Memory < 0 || to.MemorySwap < NoLimit || to.CPUs < 0 || to.CPUShares < 0 {
		return fail("limit", g.id, Invalid, "a limit is negative")
	}
	for _, l := range []struct {
		same  func(a *Limits) bool
		write func(Limits) error
	}{
		{func(a *Limits) bool { return a.Pids == to.Pids && a.PidsIfPossible == to.PidsIfPossible }, g.limitPids},
		{func(a *Limits) bool { return a.Memory == to.Memory && a.MemorySwap == to.MemorySwap }, g.limitMemory},
		{func(a *Limits) bool { return a.CPUs == to.CPUs }, g.limitCPUs},
		{func(a *Limits) bool { return a.CPUShares == to.CPUShares }, g.weighCPU},
	} {
		if from != nil && l.same(from) {
			continue
		}
		if err := l.write(to); err != nil {
			return err
		}
	}
	return nil
}

// put writes a control file.
func (g *Group) put(d *dir, name, value string) error {
	err := write(path.Join(d.path, name), value)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EINVAL): // version 1 demands that a group has no more than those above it
		return fail("limit", g.id, Invalid, "the kernel refuses %s as %s: hull itself may have less", value, name)
	}
	return system("limit", g.id, err)
}

func (g *Group) limitPids(l Limits) error {
	if d := g.of("pids"); d != nil {
		return g.put(d, "pids.max", orMax(l.Pids))
	}
	return g.without("pids", l.Pids > 0 && !l.PidsIfPossible)
}

// cpuPeriod is the period of the quota in microseconds, the kernel's default.
const cpuPeriod = 100000

func (g *Group) limitCPUs(l Limits) error {
	d := g.of("cpu")
	if d == nil {
		return g.without("cpu", l.CPUs > 0)
	}
	quota := max(1000, int64(l.CPUs*cpuPeriod)) // the kernel's least
	switch {
	case d.V2 && l.CPUs == 0:
		return g.put(d, "cpu.max", "max")
	case d.V2:
		return g.put(d, "cpu.max", fmt.Sprintf("%d %d", quota, cpuPeriod))
	case l.CPUs == 0:
		return g.put(d, "cpu.cfs_quota_us", "-1")
	}
	return g.put(d, "cpu.cfs_quota_us", decimal(quota))
}

// defaultShares is version 1's weight of a group that was given none.
const defaultShares = 1024

func (g *Group) weighCPU(l Limits) error {
	d := g.of("cpu")
	if d == nil {
		return g.without("cpu", l.CPUShares > 0)
	}
	shares := l.CPUShares
	if shares == 0 {
		shares = defaultShares
	}
	if d.V2 {
		return g.put(d, "cpu.weight", decimal(weight(shares)))
	}
	return g.put(d, "cpu.shares", decimal(shares))
}

// weight is version 2's form of shares: 2 becomes 1, 1024 the default of 100, and 262144 the most, 10000. A straight
// line through the two ends would make 1024 a 39, and containers weaker than whatever else the host runs; this is the
// curve that the other runtimes use since 2025.
func weight(shares int64) int64 {
	log := math.Log2(float64(max(2, min(shares, 262144))))
	return int64(math.Ceil(math.Pow(10, (log*log+125*log)/612-7.0/34)))
}

// without is the answer to a limit whose controller this host has not got.
func (g *Group) without(controller string, wanted bool) error {
	if !wanted {
		return nil
	}
	return fail("limit", g.id, Unsupported, "this host has no usable %s cgroup controller, so that this limit cannot be set", controller)
}

func orMax(n int64) string {
	if n == 0 {
		return "max"
	}
	return decimal(n)
}
