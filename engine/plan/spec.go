// Package plan says, as data, what a start and an exec do inside: it turns
// settings into lists of typed operations ([Op]), each of which is a few
// system calls of a [child.Program]. It touches nothing and asks nothing, so
// its golden files (testdata) are, to the letter, what runs.
//
// A start is two programs, or three:
//
//   - [Stage] builds everything that comes from the kernel on a tmpfs of its
//     own and makes that the root: /proc, /sys with the cgroups, /dev with its
//     nodes, terminals and shared memory, masks. No image is there yet, so no
//     link in one can lead any of it astray; and after it the host's tree
//     cannot be reached any more. Whose container it is does not matter yet
//     either: a stage that was built beforehand serves any container with the
//     same recipe ([Recipe.Same]).
//   - [Fill], where there are volumes and the like, brings the image's root in
//     and mounts them there.
//   - [Start] brings the image's root in, moves what was built to its places
//     (refusing links), makes it the root, takes on the process's identity
//     and limits, waits for the word, and executes the command.
//
// An exec is two as well: [Enter] joins the container, [Run] is the second
// half of Start.
package plan

import (
	"reflect"
	"strings"
)

// IDRange is the range of host ids behind a container's ids 0 to Size-1.
// Size 0: no user namespace.
type IDRange struct{ First, Size uint32 }

// Host is the host's id behind one of the container's.
func (r IDRange) Host(id uint32) int {
	if r.Size == 0 {
		return int(id)
	}
	return int(r.First) + int(id)
}

// Container is what the first program needs to know: its recipe, and how the
// cgroups are joined and shown, which is the machine's.
type Container struct {
	Recipe
	Cgroups      int // how many files to join cgroups by come with the program
	CgroupMounts []CgroupMount
}

// Same tells whether two containers have the same stage.
func (c Container) Same(other Container) bool { return reflect.DeepEqual(c, other) }

// Recipe is what a user's settings say about the stage. What can be done after
// it (the host name, a terminal, limits) is not in it, so that most containers
// have the same.
type Recipe struct {
	Users         bool // in a user namespace of its own
	ShmSize       int64
	Masked        []string // below /proc and /sys, absolute, clean
	ReadOnlyPaths []string // likewise
	PingGroups    string   // net.ipv4.ping_group_range
	Network       Network
	Kernel
}

// Network says whose network the container is in.
type Network string

// The networks.
const (
	OwnNetwork  Network = ""       // a new one
	HostNetwork Network = "host"   // the one it is born in, which is the host's
	Another     Network = "joined" // the one it is born in, which is another container's
)

// BringsSys tells whether /sys is made outside and comes as the last of the
// files: it shows a network, and only the owner of that may mount it.
func (r Recipe) BringsSys() bool { return r.Users && r.Network != OwnNetwork }

// Kernel is what settings change of what a container has of the kernel.
type Kernel struct {
	Devices []Node // beside its own
	Sysctls []Parameter
	// Writable leaves /sys and the cgroups open to be changed.
	Writable bool
}

// Same tells whether a stage of one recipe serves the other, whatever fields a
// recipe has.
func (r Recipe) Same(other Recipe) bool { return reflect.DeepEqual(r, other) }

// CgroupMount is a hierarchy shown, read-only, in /sys/fs/cgroup.
type CgroupMount struct {
	Dir  string // below /sys/fs/cgroup; "" is that itself (version 2 alone)
	Data string // mount options, version 1
	V2   bool
}

// Root is what the second program needs to know of the container's root.
type Root struct {
	Hostname string
	Files    []File
	ReadOnly bool
	Devices  bool // device nodes in it are devices
	Filled   bool // it is mounted already, with what is mounted in it
}

// File is bound over a file of the image.
type File struct {
	Path    string // absolute
	Content []byte
	Target  Target
}

// Target says what is where a File goes.
type Target uint8

// The targets.
const (
	Regular Target = iota // a regular file
	Missing               // nothing
	Link                  // a symbolic link; it is replaced
)

// Process is the process to become.
type Process struct {
	Path       string // of the command, inside the root
	Args, Env  []string
	Dir        string // absolute
	MakeDir    bool   // make Dir if it is missing
	UID, GID   uint32
	Groups     []uint32
	Caps       uint64 // mask
	LastCap    int
	NoNewPrivs bool
	Filter     []byte // seccomp's program, nil for none
	TTY        bool
	Init       bool // under the reaper, which is the last of the files
	Limits     []Limit
}

// Limit is an rlimit.
type Limit struct {
	Name       string // "nofile"
	Resource   int    // unix.RLIMIT_NOFILE
	Soft, Hard uint64 // Unlimited is none
}

// Unlimited is RLIM_INFINITY.
const Unlimited = ^uint64(0)

// DefaultCapabilities are those of a container's root, as Podman has them.
func DefaultCapabilities() []string {
	return strings.Fields("CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_FSETID CAP_KILL CAP_NET_BIND_SERVICE CAP_SETFCAP CAP_SETGID CAP_SETPCAP CAP_SETUID CAP_SYS_CHROOT")
}

// DefaultMasked are hidden: what the kernel shows there is the whole
// machine's. Those that a kernel does not have are passed over.
func DefaultMasked() []string {
	return strings.Fields("/proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/sched_debug /proc/scsi /proc/timer_list /proc/timer_stats /sys/firmware /sys/fs/selinux /sys/devices/virtual/powercap")
}

// DefaultReadOnly cannot be written to, whatever the permissions.
func DefaultReadOnly() []string {
	return strings.Fields("/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger")
}
