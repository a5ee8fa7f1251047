package launch

import (
	"context"
	"os"

	"hull/engine/plan"
	"hull/engine/seccomp"
)

// IDRange is the range of host ids a container's user namespace maps onto its
// ids 0 to Size-1. Size 0 means the host's own users (no user namespace).
type IDRange = plan.IDRange

// Device is a device of the host. Its UID and GID are the ids inside.
type Device = plan.Node

// Sysctl is a parameter of the kernel.
type Sysctl = plan.Parameter

// Network says whose network a container is in.
type Network = plan.Network

// Spec is everything a container's start needs to know. Nothing in it is
// looked up later: two equal Specs on one machine start the same container.
type Spec struct {
	ID       string // for messages only
	Hostname string

	// Args is the command with its arguments, as it must stand in the
	// process's argv. Args[0] without a slash is looked up in the PATH of
	// Env inside the root.
	Args []string
	// Env is NAME=value. HOME is added from the image's passwd file, and
	// PATH, HOSTNAME and (with a terminal) TERM as Docker adds them, when
	// they are absent.
	Env []string
	// Dir is the working directory; empty means "/". It is made when missing.
	Dir string
	// User is "", "name", "uid", "name:group" or "uid:gid", looked up in the
	// image's own passwd and group files.
	User string
	// AdditionalGroups are names or ids of further supplementary groups.
	AdditionalGroups []string

	// TTY gives the process a terminal of Rows by Cols made in the
	// container's devpts; its master is Parked.Pty. Stdin, Stdout and
	// Stderr are then not looked at.
	TTY        bool
	Rows, Cols uint16
	// Stdin, Stdout and Stderr become the process's 0, 1 and 2. Nil is
	// /dev/null. They stay the caller's, who may close them once Park has
	// returned.
	Stdin, Stdout, Stderr *os.File

	// Capabilities are names with or without CAP_; nil is
	// plan.DefaultCapabilities, empty and not nil is none.
	Capabilities []string
	// NoNewPrivileges stops set-user-ID files and file capabilities from
	// giving anything.
	NoNewPrivileges bool
	// Seccomp is the profile of system calls; nil lets all of them pass.
	Seccomp *seccomp.Profile
	// Privileged lets the container change /sys and its cgroups, and use device
	// nodes in its root. It has the host's users then.
	Privileged bool
	// Devices are put into /dev beside the container's own; whether they can be
	// used is for its cgroup to say.
	Devices []Device
	// Sysctls are set in the container's own namespaces.
	Sysctls []Sysctl
	// Init runs the command under a reaper (child.Spawner's), which is process 1.
	Init bool
	// Limits are rlimits; those that are not named are this process's own,
	// but for nofile, whose soft limit is the kernel's default.
	Limits []plan.Limit
	// Masked and ReadOnlyPaths lie below /proc or /sys; nil means the
	// defaults of package plan, empty and not nil means none.
	Masked, ReadOnlyPaths []string
	// ShmSize is the size of /dev/shm in bytes; 0 is 64 MiB.
	ShmSize int64
	// ReadOnly makes the root read-only once everything is in place. Root
	// must return a writable mount all the same.
	ReadOnly bool

	// Network says whose network it is in; the default is one of its own.
	Network Network
	// Of is another container's network namespace, where Network says so. It
	// stays the caller's.
	Of *os.File
	// Plug, if not nil, brings a network of its own to life, while the stage is
	// being built. netns is not to be used after it has returned.
	Plug func(ctx context.Context, netns *os.File) error

	Range IDRange
	// Cgroups are the ways into the process's cgroups: `tasks` of each
	// version 1 hierarchy, opened for writing, by which it joins, and the
	// directory of version 2, in which it is born. They stay the caller's.
	Cgroups []*os.File
	// Files are bound over the image's own, read-write: contents by
	// absolute path ("/etc/hosts").
	Files map[string][]byte
	// Root makes the container's root: a detached mount. users is the
	// container's user namespace (nil with the host's users) and stays the
	// Parked's. What Root returns belongs to the Parked from then on.
	Root func(users *os.File) (*os.File, error)
	// Begun, if not nil, is called once while the process takes its last steps
	// but for the execve: whoever is to own it takes it over meanwhile, and may
	// release it, so that it need not wait when it has come so far. Park fails
	// if Begun does, and may fail after it.
	Begun func(Begun) error
	// Mounts makes what is mounted in the root; nil: nothing is. Those that lie
	// in others come after them. The trees belong to the launch from then on,
	// also with an error.
	Mounts func(users *os.File) ([]Mount, error)
}

// ExecSpec is a further process for a running container.
type ExecSpec struct {
	Args, Env        []string
	Dir, User        string
	AdditionalGroups []string

	TTY                   bool
	Rows, Cols            uint16
	Stdin, Stdout, Stderr *os.File

	Capabilities    []string
	NoNewPrivileges bool
	Seccomp         *seccomp.Profile
	Limits          []plan.Limit
	// Begun as in Spec, where Exec stands for Park. It may be nil. It must not
	// release the process.
	Begun func(Begun) error
}

// Target is the running container an Exec enters.
type Target struct {
	// Pidfd refers to the container's PID 1. It stays the caller's.
	Pidfd *os.File
	Range IDRange
	// Cgroups as in Spec.
	Cgroups []*os.File
}
