package cgroup

import (
	"fmt"
	"path"
)

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

// limitDevices denies all devices and allows those of a list. A host that has neither way does not fail: the container's
// user namespace lets it make no device, and hull gives it none but these; Host.Missing says so.
func (g *Group) limitDevices(list []Device) error {
	for _, v := range list {
		if v.Type != 'c' && v.Type != 'b' {
			return fail("limit", g.id, Invalid, "a device has the type %q, which is neither c nor b", v.Type)
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
