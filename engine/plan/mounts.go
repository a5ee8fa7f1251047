package plan

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"hull/engine/child"
)

// RootMount is something that is mounted in the container's root.
type RootMount struct {
	Target string // absolute, clean, not the root
	Dir    bool   // it is a directory
	Tmpfs  *Tmpfs // nil: its tree comes as a file with the program
}

// Tmpfs is an empty file system of the container's own.
type Tmpfs struct {
	Flags uintptr
	Data  string
}

// Fill is the plan of the program that comes before [Start]'s where something is to be mounted in the root, which must
// then not mount the root again ([Root.Filled]). Its files are the root's mount and the trees, in order. It answers with
// a descriptor of the root, in which the command and the user are looked up.
//
// Volumes are as hostile as images, and so is the one a mount lies in. Their places are found one after the other by
// the kernel, which follows links as if the root were all there is. /dev is there by then, /proc and /sys are not: what
// a link leads to them comes to lie beneath the real ones. With devices, device
// nodes in the root are devices.
func Fill(devices bool, mounts []RootMount) []Op {
	ops := enterRoot(devices)
	files := 0
	for i, m := range mounts {
		if m.Tmpfs != nil {
			ops = append(ops, AttachTmpfs{Number: i, Target: m.Target, Tmpfs: *m.Tmpfs})
			continue
		}
		ops = append(ops, Attach{Number: files, Target: m.Target, Dir: m.Dir})
		files++
	}
	return append(ops, ShowHere{})
}

// enterRoot mounts the root and goes there.
func enterRoot(devices bool) []Op {
	return []Op{AttachRoot{Devices: devices}, Chdir{Path: "/root"}, MoveInto{Name: "dev"}}
}

// Attach mounts a tree that came as a file.
type Attach struct {
	place
	Number int // among the trees
	Target string
	Dir    bool
}

func (o Attach) String() string { return "mount anything at " + o.Target }

func (o Attach) compile(p *child.Program) {
	to := makePlace(p, o.Target, o.Dir)
	p.Call(unix.SYS_MOVE_MOUNT, child.Int(rootFile+1+o.Number), child.Str(""), to, child.Str(""), child.Int(unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH))
}

// AttachTmpfs mounts an empty file system.
type AttachTmpfs struct {
	place
	Number int // among the mounts
	Target string
	Tmpfs
}

func (o AttachTmpfs) String() string {
	m := Mount{FS: "tmpfs", Path: o.Target, Flags: o.Flags, Data: o.Data}
	return m.String()
}

func (o AttachTmpfs) compile(p *child.Program) {
	at := fmt.Sprintf("/files/tmpfs-%d", o.Number) // on the stage, where no link leads astray
	p.Call(unix.SYS_MKDIR, child.Str(at), child.Int(0o755))
	Mount{FS: "tmpfs", Path: at, Flags: o.Flags, Data: o.Data}.compile(p)
	to := makePlace(p, o.Target, true)
	p.Call(unix.SYS_MOVE_MOUNT, cwd, child.Str(at), to, child.Str(""), child.Int(unix.MOVE_MOUNT_T_EMPTY_PATH))
}

// makePlace opens the place for a mount, and makes it, and the directories above it, as far as they are missing.
func makePlace(p *child.Program, target string, dir bool) child.Arg {
	names := strings.Split(target[1:], "/")
	for i, name := range names {
		parent := cwd
		if i > 0 {
			parent = within(p, strings.Join(names[:i], "/"), unix.O_PATH|unix.O_DIRECTORY)
		}
		if i < len(names)-1 || dir {
			p.Make(unix.SYS_MKDIRAT, parent, child.Str(name), child.Int(0o755))
		} else {
			p.Make(unix.SYS_MKNODAT, parent, child.Str(name), child.Int(unix.S_IFREG|0o644), zero)
		}
	}
	flags := uint64(unix.O_PATH)
	if dir {
		flags |= unix.O_DIRECTORY
	}
	return within(p, target[1:], flags)
}

// within opens a path below the current directory, as if that were the root: links are followed and lead nowhere else.
func within(p *child.Program, name string, flags uint64) child.Arg {
	how := child.Struct(child.Int(flags|unix.O_CLOEXEC), zero, child.Int(unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS))
	return p.Call(unix.SYS_OPENAT2, cwd, child.Str(name), how, child.Int(24))
}

// ShowHere hands the current directory over, and waits for the next program.
type ShowHere struct{ setup }

func (ShowHere) String() string { return "show the root" }

func (ShowHere) compile(p *child.Program) {
	p.ReadyWith(p.Call(unix.SYS_OPEN, child.Str("."), child.Int(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC), zero))
	p.Wait()
}

// OpenHost is the plan of a process that opens a path of the host as a user with these groups.
func OpenHost(path string, uid, gid uint32, groups []uint32) []Op {
	var ops []Op
	if uid != 0 {
		ops = append(ops, Identity{UID: uid, GID: gid, Groups: groups})
	}
	return append(ops, Open{Path: path})
}

// Open opens a path of the host and hands it over. To open it this way is no act, whatever it is.
type Open struct {
	setup
	Path string
}

func (o Open) String() string { return "open " + o.Path }

func (o Open) compile(p *child.Program) {
	how := child.Struct(child.Int(unix.O_PATH|unix.O_CLOEXEC), zero, child.Int(unix.RESOLVE_NO_MAGICLINKS))
	p.ReadyWith(p.Call(unix.SYS_OPENAT2, cwd, child.Str(o.Path), how, child.Int(24)))
	p.Wait()
}
