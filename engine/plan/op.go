package plan

import (
	"fmt"

	"golang.org/x/sys/unix"

	"hull/engine/child"
)

// Op is one operation of a plan. Its String is a line of the golden files and
// the step that a failure names.
type Op interface {
	fmt.Stringer
	kind() Kind
	compile(p *child.Program)
}

// Kind sorts operations by whose fault a failure is.
type Kind uint8

// The kinds.
const (
	Setup   Kind = iota // the kernel's or the machine's
	Place               // something in the image is not what it must be
	Workdir             // the working directory
	Command             // the command itself
	Asked               // a setting that this kernel or this container cannot have
)

// Compile makes the program of a plan.
func Compile(ops []Op) *child.Program {
	p := &child.Program{}
	p.Expect(3 * len(ops)) // most have fewer
	for _, o := range ops {
		p.Step(child.Step{Kind: uint8(o.kind()), What: o.String()})
		o.compile(p)
	}
	return p
}

// setup is what most operations are.
type setup struct{}

func (setup) kind() Kind { return Setup }

// cwd is AT_FDCWD.
var cwd = child.Int(unix.AT_FDCWD)

var zero = child.Int(0)

// Mkdir makes a directory.
type Mkdir struct {
	setup
	Path string
}

func (o Mkdir) String() string { return "make directory " + o.Path }

func (o Mkdir) compile(p *child.Program) {
	p.Call(unix.SYS_MKDIR, child.Str(o.Path), child.Int(0o755))
}

// Mount mounts a file system of the kernel's.
type Mount struct {
	setup
	FS, Path string
	Flags    uintptr
	Data     string
	Optional bool // an old kernel or host may lack it
}

func (o Mount) String() string {
	s := fmt.Sprintf("mount %s on %s", o.FS, o.Path)
	for _, f := range mountFlags() {
		if o.Flags&f.flag != 0 {
			s += " " + f.name
		}
	}
	if o.Data != "" {
		s += " (" + o.Data + ")"
	}
	if o.Optional {
		s += ", if that can be"
	}
	return s
}

func (o Mount) compile(p *child.Program) {
	add := p.Call
	if o.Optional {
		add = p.Try
	}
	data := zero
	if o.Data != "" {
		data = child.Str(o.Data)
	}
	add(unix.SYS_MOUNT, child.Str(o.FS), child.Str(o.Path), child.Str(o.FS), child.Int(o.Flags), data)
}

type mountFlag struct {
	flag uintptr
	name string
}

func mountFlags() []mountFlag {
	return []mountFlag{{unix.MS_RDONLY, "ro"}, {unix.MS_NOSUID, "nosuid"}, {unix.MS_NODEV, "nodev"}, {unix.MS_NOEXEC, "noexec"}}
}

// Bind shows a directory of the stage in a second place. It takes a fraction of what a file system of its own does, which the
// kernel has in lists that it goes through for each cgroup that ends on the machine.
type Bind struct {
	setup
	Dir, Path string
}

func (o Bind) String() string { return fmt.Sprintf("show %s on %s", o.Dir, o.Path) }

func (o Bind) compile(p *child.Program) {
	p.Call(unix.SYS_MOUNT, child.Str(o.Dir), child.Str(o.Path), zero, child.Int(unix.MS_BIND), zero)
}

// ReadOnlyMount makes a mount read-only.
type ReadOnlyMount struct {
	setup
	Path  string
	Flags uintptr // the mount's others
}

func (o ReadOnlyMount) String() string { return "make " + o.Path + " read-only" }

func (o ReadOnlyMount) compile(p *child.Program) {
	p.Call(unix.SYS_MOUNT, zero, child.Str(o.Path), zero, child.Int(o.Flags|unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY), zero)
}

// PrivateMounts cuts the mounts off from the host's.
type PrivateMounts struct{ setup }

func (PrivateMounts) String() string { return "keep mounts to ourselves" }

func (PrivateMounts) compile(p *child.Program) {
	p.Call(unix.SYS_MOUNT, zero, child.Str("/"), zero, child.Int(unix.MS_REC|unix.MS_PRIVATE), zero)
}

// Chdir changes to a directory that no image can have a say in.
type Chdir struct {
	setup
	Path string
}

func (o Chdir) String() string { return "change to " + o.Path }

func (o Chdir) compile(p *child.Program) { p.Call(unix.SYS_CHDIR, child.Str(o.Path)) }

// Pivot makes the current directory the root and lets go of the old one.
type Pivot struct{ setup }

func (Pivot) String() string { return "make this the root" }

func (Pivot) compile(p *child.Program) {
	// The old root comes to lie on the new one's root: no directory is
	// needed for it, and "." is what must go.
	p.Call(unix.SYS_PIVOT_ROOT, child.Str("."), child.Str("."))
	p.Call(unix.SYS_UMOUNT2, child.Str("."), child.Int(unix.MNT_DETACH))
	p.Call(unix.SYS_CHDIR, child.Str("/"))
}

// Device puts a device node into /dev. In a user namespace, which cannot make
// any, it is the host's, whose owner the container is not. Without one the
// container's root would own the host's node, so that gets a node of its own.
type Device struct {
	setup
	Name         string
	Major, Minor uint32
	Users        bool
}

func (o Device) String() string { return "device /dev/" + o.Name }

func (o Device) compile(p *child.Program) {
	path := child.Str("dev/" + o.Name)
	if o.Users {
		p.Call(unix.SYS_MKNOD, path, child.Int(unix.S_IFREG|0o666), zero)
		p.Call(unix.SYS_MOUNT, child.Str("/dev/"+o.Name), path, zero, child.Int(unix.MS_BIND), zero)
		return
	}
	p.Call(unix.SYS_MKNOD, path, child.Int(unix.S_IFCHR|0o666), child.Int(unix.Mkdev(o.Major, o.Minor)))
	p.Call(unix.SYS_CHMOD, path, child.Int(0o666))
}

// Symlink makes a symbolic link.
type Symlink struct {
	setup
	Target, Path string
}

func (o Symlink) String() string { return "link " + o.Path + " to " + o.Target }

func (o Symlink) compile(p *child.Program) {
	p.Call(unix.SYS_SYMLINK, child.Str(o.Target), child.Str(o.Path))
}

// Mask hides a file behind /dev/null and a directory behind an empty one,
// whichever it is.
type Mask struct {
	setup
	Path string
}

func (o Mask) String() string { return "mask /" + o.Path }

func (o Mask) compile(p *child.Program) {
	for _, over := range []string{"dev/null", "none"} { // the wrong one is ENOTDIR
		p.Present(unix.SYS_MOUNT, child.Str(over), child.Str(o.Path), zero, child.Int(unix.MS_BIND), zero)
	}
}

// Protect makes a part of /proc or /sys read-only.
type Protect struct {
	setup
	Path string
}

func (o Protect) String() string { return "protect /" + o.Path }

func (o Protect) compile(p *child.Program) {
	p.Present(unix.SYS_MOUNT, child.Str(o.Path), child.Str(o.Path), zero, child.Int(unix.MS_BIND|unix.MS_REC), zero)
	p.Present(unix.SYS_MOUNT, zero, child.Str(o.Path), zero, child.Int(kernelFS|unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY), zero)
}
