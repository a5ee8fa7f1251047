package cgroup

import (
	"errors"
	"fmt"
	"path"
)

var errGone = errors.New("the cgroup is gone")

// Device is an entry of a device allow list. Type is 'c' or 'b'; a negative Major or Minor means any; Access is of
// "rwm".
type Device struct {
	Type         byte
	Major, Minor int64
	Access       string
}

// DefaultDevices are null, zero, full, random, urandom, tty, console, ptmx and the terminals of pts.
func DefaultDevices() []Device {
	return []Device{
		{'c', 1, 3, "rwm"},
		{'c', 1, 5, "rwm"},
		{'c', 1, 7, "rwm"},
		{'c', 1, 8, "rwm"},
		{'c', 1, 9, "rwm"},
		{'c', 5, 0, "rwm"},
		{'c', 5, 1, "rwm"},
		{'c', 5, 2, "rwm"},
		{'c', 136, -1, "rwm"},
	}
}

// Limits of a group. The zero value limits nothing, and denies all devices.
type Limits struct {
	Pids int64 // most processes and threads; 0 is no limit. A host that cannot limit them does not fail: see Host.Missing
	// Devices are all that may be used; everything else is denied. They are set when a group is made, not by Set.
	Devices []Device
	// AllDevices leaves the devices as they are for hull itself.
	AllDevices bool
	Memory     int64   // bytes; 0 is no limit
	CPUs       float64 // how many processors' time; 0 is no limit
}

// Set changes the limits of a group in use, all but the devices.
func (g *Group) Set(l Limits) error { return g.limit(l, false) }

// limit writes the limits. Of a fresh group, which has none, only those that are wanted.
func (g *Group) limit(l Limits, fresh bool) error {
	if l.Pids < 0 || l.Memory < 0 || l.CPUs < 0 {
		return &Error{Op: "limit", Group: g.id, Kind: Invalid, Err: errors.New("a limit is negative")}
	}
	if fresh && !l.AllDevices {
		if err := g.limitDevices(l.Devices); err != nil {
			return err
		}
	}
	if d := g.of("pids"); d != nil && (l.Pids > 0 || !fresh) {
		if err := write(path.Join(d.path, "pids.max"), orMax(l.Pids)); err != nil {
			return system("limit", g.id, err)
		}
	}
	if l.Memory > 0 || !fresh {
		if err := g.limitMemory(l.Memory); err != nil {
			return err
		}
	}
	if l.CPUs > 0 || !fresh {
		return g.limitCPUs(l.CPUs)
	}
	return nil
}

func orMax(n int64) string {
	if n == 0 {
		return "max"
	}
	return decimal(n)
}

func (g *Group) limitMemory(n int64) error {
	d := g.of("memory")
	if d == nil {
		return g.without("memory", n > 0)
	}
	name, value := "memory.limit_in_bytes", decimal(n)
	if d.V2 {
		name, value = "memory.max", orMax(n)
	} else if n == 0 {
		value = "-1"
	}
	if err := write(path.Join(d.path, name), value); err != nil {
		return system("limit", g.id, err)
	}
	return nil
}

// cpuPeriod is the period of the quota in microseconds, the kernel's default.
const cpuPeriod = 100000

func (g *Group) limitCPUs(n float64) error {
	d := g.of("cpu")
	if d == nil {
		return g.without("cpu", n > 0)
	}
	quota := max(1000, int64(n*cpuPeriod)) // the kernel's least
	name, value := "cpu.cfs_quota_us", decimal(quota)
	switch {
	case d.V2 && n == 0:
		name, value = "cpu.max", "max"
	case d.V2:
		name, value = "cpu.max", fmt.Sprintf("%d %d", quota, cpuPeriod)
	case n == 0:
		value = "-1"
	}
	if err := write(path.Join(d.path, name), value); err != nil {
		return system("limit", g.id, err)
	}
	return nil
}

// without is the answer to a limit whose controller this host has not got.
func (g *Group) without(controller string, wanted bool) error {
	if !wanted {
		return nil
	}
	return &Error{Op: "limit", Group: g.id, Kind: Unsupported, Err: fmt.Errorf("this host has no usable %s cgroup controller, so that this limit cannot be set", controller)}
}

// limitDevices denies all devices and allows those of a list. A host that has neither way does not fail: the container's
// user namespace lets it make no device, and hull gives it none but these; Host.Missing says so.
func (g *Group) limitDevices(list []Device) error {
	for _, v := range list {
		if v.Type != 'c' && v.Type != 'b' {
			return &Error{Op: "limit", Group: g.id, Kind: Invalid, Err: fmt.Errorf("a device has the type %q, which is neither c nor b", v.Type)}
		}
	}
	if d := g.of("devices"); d != nil {
		if err := write(path.Join(d.path, "devices.deny"), "a"); err != nil {
			return system("limit", g.id, err)
		}
		rules := make([]string, len(list))
		for i, v := range list {
			rules[i] = v.rule()
		}
		if err := write(path.Join(d.path, "devices.allow"), rules...); err != nil {
			return system("limit", g.id, err)
		}
		return nil
	}
	if d := g.v2(); d != nil {
		if err := filterDevices(d.path, list); err != nil {
			return system("limit", g.id, err)
		}
	}
	return nil
}

// rule is version 1's form of a device.
func (v Device) rule() string {
	any := func(n int64) string {
		if n < 0 {
			return "*"
		}
		return decimal(n)
	}
	return fmt.Sprintf("%c %s:%s %s", v.Type, any(v.Major), any(v.Minor), v.Access)
}
