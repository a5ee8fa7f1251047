package plan

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"hull/engine/child"
)

// Node is a device of the host's that a container is given.
type Node struct {
	Path         string // below /dev: "dri/card0"
	Mode         uint32 // type and permissions
	Major, Minor uint32
	UID, GID     uint32 // the container's ids
}

// nodesDir is where the stage has the nodes of a container that cannot make
// any, by their numbers: a file system that was made outside and comes as a
// file after those for the cgroups.
const nodesDir = "devices"

// hostDevices puts the host's devices into /dev.
func hostDevices(c Container) []Op {
	var ops []Op
	if c.Users && len(c.Devices) > 0 {
		ops = append(ops, BringNodes{File: c.Cgroups})
	}
	made := map[string]bool{}
	for i, n := range c.Devices {
		for at, r := range n.Path {
			if dir := n.Path[:at]; r == '/' && !made[dir] {
				made[dir] = true
				ops = append(ops, MakeDir{Path: "dev/" + dir})
			}
		}
		ops = append(ops, HostDevice{Node: n, Number: i, Users: c.Users})
	}
	if c.Users && len(c.Devices) > 0 {
		ops = append(ops, DropNodes{})
	}
	return ops
}

// MakeDir makes a directory that may be there.
type MakeDir struct {
	setup
	Path string
}

func (o MakeDir) String() string { return "make directory " + o.Path + " if there is none" }

func (o MakeDir) compile(p *child.Program) {
	p.Make(unix.SYS_MKDIR, child.Str(o.Path), child.Int(0o755))
}

// BringNodes mounts the file system with the nodes.
type BringNodes struct {
	setup
	File int // its number among the files of the program
}

func (BringNodes) String() string { return "bring in the host's devices" }

func (o BringNodes) compile(p *child.Program) {
	p.Call(unix.SYS_MKDIR, child.Str(nodesDir), child.Int(0o700))
	p.Call(unix.SYS_MOVE_MOUNT, child.Int(child.FirstFile+o.File), child.Str(""), cwd, child.Str(nodesDir), child.Int(unix.MOVE_MOUNT_F_EMPTY_PATH))
}

// DropNodes takes that away when each has its place.
type DropNodes struct{ setup }

func (DropNodes) String() string { return "drop what is left of them" }

func (DropNodes) compile(p *child.Program) {
	p.Call(unix.SYS_UMOUNT2, child.Str(nodesDir), child.Int(unix.MNT_DETACH))
	p.Call(unix.SYS_RMDIR, child.Str(nodesDir))
}

// HostDevice puts one into /dev: in a user namespace a node that was made
// outside, else one made here.
type HostDevice struct {
	setup
	Node
	Number int
	Users  bool
}

func (o HostDevice) String() string {
	return fmt.Sprintf("device %d:%d at /dev/%s", o.Major, o.Minor, o.Path)
}

func (o HostDevice) compile(p *child.Program) {
	path := child.Str("dev/" + o.Path)
	if o.Users {
		p.Make(unix.SYS_MKNOD, path, child.Int(unix.S_IFREG|0o600), zero)
		p.Call(unix.SYS_MOUNT, child.Str(fmt.Sprintf("%s/%d", nodesDir, o.Number)), path, zero, child.Int(unix.MS_BIND), zero)
		return
	}
	p.Present(unix.SYS_UNLINK, path) // the settings may put another in the place of one of the six
	p.Call(unix.SYS_MKNOD, path, child.Int(o.Mode), child.Int(unix.Mkdev(o.Major, o.Minor)))
	p.Call(unix.SYS_CHMOD, path, child.Int(o.Mode&0o7777))
	p.Call(unix.SYS_CHOWN, path, child.Int(o.UID), child.Int(o.GID))
}

// Parameter is one of the kernel's for a container's own namespaces.
type Parameter struct{ Name, Value string } // "net.ipv4.ip_forward"

// parameters are those every container has, and the settings' over them.
func parameters(c Container) []Op {
	var ops []Op
	if c.Network == OwnNetwork { // another is somebody else's to change
		ops = append(
			ops,
			Sysctl{Name: "net.ipv4.ip_unprivileged_port_start", Value: "0"},
			Sysctl{Name: "net.ipv4.ping_group_range", Value: c.PingGroups},
		)
	}
	for _, s := range c.Sysctls {
		ops = append(ops, Sysctl{Name: s.Name, Value: s.Value, Asked: true})
	}
	return ops
}

// Sysctl sets a parameter. A kernel without it is left as it is, unless it was
// asked for.
type Sysctl struct {
	Name, Value string
	Asked       bool
}

func (o Sysctl) kind() Kind {
	if o.Asked {
		return Asked
	}
	return Setup
}

func (o Sysctl) String() string { return "set " + o.Name + " to " + o.Value }

func (o Sysctl) compile(p *child.Program) {
	add := p.Try
	if o.Asked {
		add = p.Call
	}
	path := "proc/sys/" + strings.ReplaceAll(o.Name, ".", "/")
	fd := add(unix.SYS_OPEN, child.Str(path), child.Int(unix.O_WRONLY|unix.O_CLOEXEC), zero)
	add(unix.SYS_WRITE, fd, child.Str(o.Value), child.Int(len(o.Value)))
}
