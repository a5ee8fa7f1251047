package plan

import (
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"hull/engine/child"
)

// The descriptors that come with the second program of a start, in order.
// With an exec, Stdin is the first.
const (
	rootFile   = child.FirstFile
	startStdin = rootFile + 1
	runStdin   = child.FirstFile
)

// Start is the plan of a container's second program, or third after [Fill].
// Its files are the root's mount and the process's 0, 1 and 2.
func Start(r Root, pr Process) []Op {
	var ops []Op
	add := func(o ...Op) { ops = append(ops, o...) }
	add(Hostname{Name: r.Hostname})
	dev := "dev"
	if !r.Filled {
		dev = "/dev"
	}
	if pr.TTY {
		add(Console{Dev: dev})
	}
	if !r.Filled {
		add(enterRoot(r.Devices)...)
	}
	add(MoveInto{Name: "proc"}, MoveInto{Name: "sys"})
	for i, f := range r.Files {
		add(BindFile{Number: i, File: f, ReadOnly: r.ReadOnly})
	}
	add(Stdio{First: startStdin, Init: pr.Init}, Pivot{})
	if pr.Dir != "/" && pr.MakeDir {
		add(MakePath{Path: pr.Dir})
	}
	add(ChangeDir{Path: pr.Dir, Init: pr.Init})
	if r.ReadOnly {
		add(ReadOnlyRoot{})
	}
	return append(ops, become(pr)...)
}

// Hostname sets the name of the machine.
type Hostname struct {
	setup
	Name string
}

func (o Hostname) String() string { return "set the hostname to " + o.Name }

func (o Hostname) compile(p *child.Program) {
	p.Call(unix.SYS_SETHOSTNAME, child.Str(o.Name), child.Int(len(o.Name)))
}

// AttachRoot mounts the container's root at /root of the stage. Device nodes
// in an image are only files, unless it is to have Devices: /dev is a mount of
// its own.
type AttachRoot struct {
	setup
	Devices bool
}

func (o AttachRoot) String() string {
	if o.Devices {
		return "mount the root, with devices"
	}
	return "mount the root, nodev"
}

func (o AttachRoot) compile(p *child.Program) {
	set, clear := child.Int(unix.MOUNT_ATTR_NODEV), zero
	if o.Devices {
		set, clear = clear, set
	}
	attr := child.Struct(set, clear, zero, zero)
	p.Call(unix.SYS_MOUNT_SETATTR, child.Int(rootFile), child.Str(""), child.Int(unix.AT_EMPTY_PATH), attr, child.Int(32))
	p.Call(unix.SYS_MOVE_MOUNT, child.Int(rootFile), child.Str(""), cwd, child.Str("/root"), child.Int(unix.MOVE_MOUNT_F_EMPTY_PATH))
}

type place struct{}

func (place) kind() Kind { return Place }

// inRoot opens a path of the image, relative to the current directory, and
// follows no link on the way.
func inRoot(p *child.Program, name string, flags, mode uint64) child.Arg {
	how := child.Struct(child.Int(flags|unix.O_CLOEXEC|unix.O_NOFOLLOW), child.Int(mode), child.Int(unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_MAGICLINKS))
	return p.Call(unix.SYS_OPENAT2, cwd, child.Str(name), how, child.Int(24))
}

// MoveInto moves a tree that was built beforehand into the root. The place is
// made if the image lacks it, and must be a directory and no link.
type MoveInto struct {
	place
	Name string
}

func (o MoveInto) String() string { return "move /" + o.Name + " to its place" }

func (o MoveInto) compile(p *child.Program) {
	p.Make(unix.SYS_MKDIR, child.Str(o.Name), child.Int(0o755))
	fd := inRoot(p, o.Name, unix.O_PATH|unix.O_DIRECTORY, 0)
	p.Call(unix.SYS_MOVE_MOUNT, cwd, child.Str("/"+o.Name), fd, child.Str(""), child.Int(unix.MOVE_MOUNT_T_EMPTY_PATH))
}

// BindFile puts a file of the container's own over the image's.
type BindFile struct {
	place
	Number   int
	File     File
	ReadOnly bool
}

func (o BindFile) String() string {
	how := [...]string{Regular: "over the image's", Missing: "made", Link: "in place of a link"}
	text := fmt.Sprintf("bind %s (%d bytes), %s", o.File.Path, len(o.File.Content), how[o.File.Target])
	if o.ReadOnly {
		text += ", read-only"
	}
	return text
}

func (o BindFile) compile(p *child.Program) {
	source := fmt.Sprintf("/files/%d", o.Number)
	fd := p.Call(unix.SYS_OPEN, child.Str(source), child.Int(unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC), child.Int(0o644))
	p.Call(unix.SYS_WRITE, fd, child.Bytes(o.File.Content), child.Int(len(o.File.Content)))
	target := strings.TrimPrefix(o.File.Path, "/")
	if o.File.Target == Link {
		p.Call(unix.SYS_UNLINK, child.Str(target))
	}
	if o.File.Target != Regular {
		if dir := path.Dir(target); dir != "." {
			p.Make(unix.SYS_MKDIR, child.Str(dir), child.Int(0o755))
		}
		inRoot(p, target, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644)
	}
	from := p.Call(unix.SYS_OPEN_TREE, cwd, child.Str(source), child.Int(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC))
	to := inRoot(p, target, unix.O_PATH, 0)
	p.Call(unix.SYS_MOVE_MOUNT, from, child.Str(""), to, child.Str(""), child.Int(unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH))
	if o.ReadOnly {
		denyWrites(p, inRoot(p, target, unix.O_PATH, 0), "", unix.AT_EMPTY_PATH)
	}
}

// Console binds the terminal on /dev/console, by its descriptor, while /dev is
// still the stage's, where nobody can put anything in the way; or in a root that
// is filled, where it is still nobody's but whose mounts lie in it.
type Console struct {
	setup
	Dev string // where /dev is
}

func (Console) String() string { return "bind the terminal on /dev/console" }

func (o Console) compile(p *child.Program) {
	place := child.Str(o.Dev + "/console")
	p.Call(unix.SYS_MKNOD, place, child.Int(unix.S_IFREG|0o600), zero)
	from := p.Call(unix.SYS_OPEN_TREE, child.Int(startStdin), child.Str(""), child.Int(unix.AT_EMPTY_PATH|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC))
	p.Call(unix.SYS_MOVE_MOUNT, from, child.Str(""), cwd, place, child.Int(unix.MOVE_MOUNT_F_EMPTY_PATH))
}

// Stdio makes the files that came 0, 1 and 2, and closes all others but the
// socket, and with Init the one after them, which becomes initFile.
type Stdio struct {
	setup
	First int
	Init  bool
}

// initFile is the descriptor of the reaper, until it is executed.
const initFile = child.Socket + 1

func (Stdio) String() string { return "take on stdin, stdout and stderr" }

func (o Stdio) compile(p *child.Program) {
	for fd := range 3 {
		p.Call(unix.SYS_DUP3, child.Int(o.First+fd), child.Int(fd), zero)
	}
	if o.Init {
		p.Call(unix.SYS_DUP3, child.Int(o.First+3), child.Int(initFile), zero)
	}
	closeRest(p, o.Init)
}

// closeRest closes all but 0, 1, 2, the socket and, if it is there, the reaper.
func closeRest(p *child.Program, reaper bool) {
	first := child.Socket + 1
	if reaper {
		first = initFile + 1
	}
	p.Call(unix.SYS_CLOSE_RANGE, child.Int(first), child.Int(^uint32(0)), zero)
}

type workdir struct{}

func (workdir) kind() Kind { return Workdir }

// MakePath makes a directory and those above it, as far as they are missing.
type MakePath struct {
	workdir
	Path string
}

func (o MakePath) String() string { return "make " + o.Path }

func (o MakePath) compile(p *child.Program) {
	// The root is the container's own, and no descriptor of a directory is open:
	// a link can lead nowhere else.
	for i, c := range o.Path {
		if c == '/' && i > 0 {
			p.Make(unix.SYS_MKDIR, child.Str(o.Path[:i]), child.Int(0o755))
		}
	}
	p.Make(unix.SYS_MKDIR, child.Str(o.Path), child.Int(0o755))
}

// ChangeDir changes to the working directory. It must be reached by names
// from the root: a magic link in /proc (CVE-2024-21626) is refused.
type ChangeDir struct {
	workdir
	Path string
	Init bool // as in Stdio
}

func (o ChangeDir) String() string { return "change to " + o.Path }

func (o ChangeDir) compile(p *child.Program) {
	how := child.Struct(child.Int(unix.O_PATH|unix.O_CLOEXEC|unix.O_DIRECTORY), zero, child.Int(unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS))
	root := p.Call(unix.SYS_OPEN, child.Str("/"), child.Int(unix.O_PATH|unix.O_CLOEXEC|unix.O_DIRECTORY), zero)
	dir := p.Call(unix.SYS_OPENAT2, root, child.Str(o.Path), how, child.Int(24))
	p.Call(unix.SYS_FCHDIR, dir)
	closeRest(p, o.Init)
}

// ReadOnlyRoot makes the root read-only, and nothing that is mounted below it:
// the container's own files are so already, the rest says for itself.
type ReadOnlyRoot struct{ setup }

func (ReadOnlyRoot) String() string { return "make the root read-only" }

func (ReadOnlyRoot) compile(p *child.Program) {
	denyWrites(p, cwd, "/", 0)
}

// denyWrites makes one mount read-only.
func denyWrites(p *child.Program, dir child.Arg, name string, flags int) {
	attr := child.Struct(child.Int(unix.MOUNT_ATTR_RDONLY), zero, zero, zero)
	p.Call(unix.SYS_MOUNT_SETATTR, dir, child.Str(name), child.Int(flags), attr, child.Int(32))
}
