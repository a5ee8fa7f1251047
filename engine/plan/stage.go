package plan

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"hull/engine/child"
)

// kernelFS are the flags of what is no place for programs or devices.
const kernelFS = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// stageDir is where the stage is mounted, in a mount namespace of its own:
// any directory that every host has does.
const stageDir = "/proc"

// Stage is the plan of a container's first program.
func Stage(c Container) []Op {
	var ops []Op
	add := func(o ...Op) { ops = append(ops, o...) }
	add(Become{Users: c.Users}, Harden{})
	if c.Cgroups > 0 {
		add(JoinCgroups{Count: c.Cgroups})
	}
	add(CgroupView{})
	if c.Network == OwnNetwork {
		add(Loopback{})
	}
	add(PrivateMounts{})
	add(Mount{FS: "tmpfs", Path: stageDir, Flags: unix.MS_NOSUID | unix.MS_NODEV, Data: "mode=755,size=1m"}, Chdir{Path: stageDir})
	for _, d := range []string{"root", "files", "none", "proc", "sys", "dev"} {
		add(Mkdir{Path: d})
	}
	add(Bind{Dir: "none", Path: "none"}, ReadOnlyMount{Path: "none", Flags: kernelFS})
	add(Mount{FS: "proc", Path: "proc", Flags: kernelFS})
	add(parameters(c)...)
	add(sysfs(c))
	add(cgroupMounts(c.CgroupMounts, readOnly(c))...)
	add(devices(c)...)
	for _, m := range c.Masked {
		add(Mask{Path: strings.TrimPrefix(m, "/")})
	}
	for _, r := range c.ReadOnlyPaths {
		add(Protect{Path: strings.TrimPrefix(r, "/")})
	}
	add(hostDevices(c)...) // after the masks: one may take the place of /dev/null
	return append(ops, Pivot{}, Next{})
}

// sysfs shows the kernel's objects.
func sysfs(c Container) Op {
	if !c.BringsSys() {
		return Mount{FS: "sysfs", Path: "sys", Flags: kernelFS | readOnly(c)}
	}
	file := c.Cgroups
	if len(c.Devices) > 0 {
		file++
	}
	return BringSys{File: file}
}

// BringSys mounts a /sys that was made outside.
type BringSys struct {
	setup
	File int // its number among the files of the program
}

func (BringSys) String() string { return "bring in /sys" }

func (o BringSys) compile(p *child.Program) {
	p.Call(unix.SYS_MOVE_MOUNT, child.Int(child.FirstFile+o.File), child.Str(""), cwd, child.Str("sys"), child.Int(unix.MOVE_MOUNT_F_EMPTY_PATH))
}

// readOnly is the flag of what shows the kernel's state.
func readOnly(c Container) uintptr {
	if c.Writable {
		return 0
	}
	return unix.MS_RDONLY
}

// cgroupMounts shows the container its cgroups.
func cgroupMounts(mounts []CgroupMount, ro uintptr) []Op {
	const dir = "sys/fs/cgroup"
	if len(mounts) == 1 && mounts[0].Dir == "" {
		return []Op{Mount{FS: "cgroup2", Path: dir, Flags: kernelFS | ro}}
	}
	if len(mounts) == 0 {
		return []Op{Bind{Dir: "none", Path: dir}, ReadOnlyMount{Path: dir, Flags: kernelFS}}
	}
	ops := []Op{Mkdir{Path: "groups"}, Bind{Dir: "groups", Path: dir}}
	for _, m := range mounts {
		o := Mount{FS: "cgroup", Path: dir + "/" + m.Dir, Flags: kernelFS | ro, Data: m.Data}
		if m.V2 {
			o.FS, o.Data = "cgroup2", ""
		}
		ops = append(ops, Mkdir{Path: o.Path}, o)
	}
	return append(ops, ReadOnlyMount{Path: dir, Flags: kernelFS})
}

// devices builds /dev.
func devices(c Container) []Op {
	ops := []Op{Mount{FS: "tmpfs", Path: "dev", Flags: unix.MS_NOSUID | unix.MS_NOEXEC, Data: "mode=755,nr_inodes=65536,size=65536k"}}
	for _, d := range []Device{{Name: "null", Major: 1, Minor: 3}, {Name: "zero", Major: 1, Minor: 5}, {Name: "full", Major: 1, Minor: 7}, {Name: "random", Major: 1, Minor: 8}, {Name: "urandom", Major: 1, Minor: 9}, {Name: "tty", Major: 5}} {
		d.Users = c.Users
		ops = append(ops, d)
	}
	for _, d := range []string{"pts", "shm", "mqueue"} {
		ops = append(ops, Mkdir{Path: "dev/" + d})
	}
	return append(
		ops,
		// gid 5 is the group tty in every distribution.
		Mount{FS: "devpts", Path: "dev/pts", Flags: unix.MS_NOSUID | unix.MS_NOEXEC, Data: "newinstance,ptmxmode=0666,mode=0620,gid=5"},
		Mount{FS: "tmpfs", Path: "dev/shm", Flags: kernelFS, Data: fmt.Sprintf("mode=1777,size=%d", c.ShmSize)},
		Mount{FS: "mqueue", Path: "dev/mqueue", Flags: kernelFS},
		Symlink{Target: "pts/ptmx", Path: "dev/ptmx"},
		Symlink{Target: "/proc/self/fd", Path: "dev/fd"},
		Symlink{Target: "/proc/self/fd/0", Path: "dev/stdin"},
		Symlink{Target: "/proc/self/fd/1", Path: "dev/stdout"},
		Symlink{Target: "/proc/self/fd/2", Path: "dev/stderr"},
		Symlink{Target: "/proc/kcore", Path: "dev/core"},
	)
}

// Become makes the process root of its user namespace, whose map has been
// written by now.
type Become struct {
	setup
	Users bool
}

func (o Become) String() string { return "become the container's root" }

func (o Become) compile(p *child.Program) {
	if o.Users {
		p.Call(unix.SYS_PRCTL, child.Int(unix.PR_CAP_AMBIENT), child.Int(unix.PR_CAP_AMBIENT_CLEAR_ALL), zero, zero, zero)
	}
	p.Call(unix.SYS_SETRESGID, zero, zero, zero)
	p.Call(unix.SYS_SETRESUID, zero, zero, zero)
	p.Call(unix.SYS_SETGROUPS, zero, zero)
}

// Harden keeps other processes off this one and drops what would be
// inherited from the daemon.
type Harden struct{ setup }

func (Harden) String() string { return "shed what is the daemon's" }

func (Harden) compile(p *child.Program) {
	const (
		joinSessionKeyring = 1
		lastSignal         = 64
	)
	p.Call(unix.SYS_PRCTL, child.Int(unix.PR_SET_DUMPABLE), zero, zero, zero, zero)
	p.Call(unix.SYS_UMASK, child.Int(0o022))
	// A signal that the daemon ignores (under nohup, or in the background of a
	// script) stays ignored over clone and execve, and ctrl-C would do nothing
	// in the container. Kill and stop have no disposition.
	byDefault := child.Bytes(make([]byte, 32)) // struct sigaction
	for sig := 1; sig <= lastSignal; sig++ {
		if sig != int(unix.SIGKILL) && sig != int(unix.SIGSTOP) {
			p.Call(unix.SYS_RT_SIGACTION, child.Int(sig), byDefault, zero, child.Int(8))
		}
	}
	p.Try(unix.SYS_KEYCTL, child.Int(joinSessionKeyring), zero) // a kernel may be without keyrings
}

// JoinCgroups moves this process into its cgroups.
type JoinCgroups struct {
	setup
	Count int
	First int // offset of the first file
}

func (o JoinCgroups) String() string { return fmt.Sprintf("join %d cgroups", o.Count) }

func (o JoinCgroups) compile(p *child.Program) {
	for i := range o.Count {
		p.Call(unix.SYS_WRITE, child.Int(child.FirstFile+o.First+i), child.Str("0"), child.Int(1))
	}
}

// CgroupView makes those cgroups the roots that the container sees.
type CgroupView struct{ setup }

func (CgroupView) String() string { return "make the cgroups the roots" }

func (CgroupView) compile(p *child.Program) {
	p.Call(unix.SYS_UNSHARE, child.Int(unix.CLONE_NEWCGROUP))
}

// Loopback brings lo up.
type Loopback struct{ setup }

func (Loopback) String() string { return "bring loopback up" }

func (Loopback) compile(p *child.Program) {
	request := make([]byte, 40) // struct ifreq: name, flags
	copy(request, "lo")
	request[16] = unix.IFF_UP
	fd := p.Call(unix.SYS_SOCKET, child.Int(unix.AF_INET), child.Int(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC), zero)
	p.Call(unix.SYS_IOCTL, fd, child.Int(unix.SIOCSIFFLAGS), child.Bytes(request))
}

// Next ends a program and waits for another.
type Next struct{ setup }

func (Next) String() string { return "wait for the next program" }

func (Next) compile(p *child.Program) { p.Next() }
