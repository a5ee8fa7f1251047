package engine

import (
	"context"
	"os"

	"hull/engine/cgroup"
	"hull/engine/launch"
	"hull/engine/logs"
	"hull/engine/monitor"
)

// Monitor is what the engine needs of the process that owns the containers' processes. *monitor.Client is one.
type Monitor interface {
	Adopt(ctx context.Context, a monitor.Adopt) error
	Session(ctx context.Context, s monitor.Session) error
	Attach(ctx context.Context, a monitor.Attach) error
	HangUp(ctx context.Context, id, key string) error
	Signal(ctx context.Context, id, key string, signal int) error
	Forget(ctx context.Context, id string) error
	// Bound sets other bounds of the log in a container's directory.
	Bound(ctx context.Context, id, dir string, b logs.Bounds) error
	Abandon(ctx context.Context, id string) error
	CloseStdin(ctx context.Context, id string) error
	Reap(ctx context.Context, pidfd *os.File) error
	List(ctx context.Context) ([]monitor.Held, error)
	// Lend has a socket outlive the daemon under a name, until Return; Lent are those there are.
	Lend(ctx context.Context, name string, fd int) error
	Return(ctx context.Context, name string) error
	Lent(ctx context.Context) (map[string]int, error)
	Exits() <-chan monitor.Exit
	Troubles() <-chan monitor.Trouble
}

// parts are the machinery below the engine, as interfaces: the engine's own tests run without root on ones that only
// pretend.
type parts struct {
	launcher launcher
	groups   groups
	first    func(pid int) bool // whether a process is the first of a container
	released func(pid int) bool // whether a process that was parked runs its command now
	// links and names are nil for the real ones.
	links links
	names names
}

// launcher makes processes; *launch.Launcher is the real one.
type launcher interface {
	Park(ctx context.Context, spec launch.Spec) (parked, error)
	// Stage makes a container's process as far as it does not matter which container's.
	Stage(ctx context.Context, spec launch.Spec) (staged, error)
	Exec(ctx context.Context, target launch.Target, spec launch.ExecSpec) (parked, error)
	Commands(root *os.File, path []string) ([]string, error)
	// Users makes a user namespace whose ids 0 to size-1 are the host's from first on; nil where it cannot.
	Users(ctx context.Context, first, size uint32) (*os.File, error)
	// OpenHost opens a path of the host with a user's rights.
	OpenHost(ctx context.Context, h launch.HostPath) (*os.File, error)
	// OwnerUsers makes a user namespace for the mounts of a user's files in a container of that range.
	OwnerUsers(ctx context.Context, first, size, uid, gid uint32) (*os.File, error)
	Close() error
}

// staged is a process that was made beforehand; *launch.Staged is the real one.
type staged interface {
	Serves(spec launch.Spec) bool
	Alive() bool
	// Died waits for its death; false if ctx ends before.
	Died(ctx context.Context) bool
	Park(ctx context.Context, spec launch.Spec) (parked, error)
	Abort()
}

// parked is a process that waits for its execve; *launch.Parked is the real one.
type parked interface {
	PID() int
	Pidfd() *os.File
	Pty() *os.File
	Root() *os.File
	Network() *os.File
	Run(ctx context.Context) error
	Abort()
	Close() error
}

// groups makes cgroups; *cgroup.Tree is the real one.
type groups interface {
	Create(id string, l cgroup.Limits) (group, error)
	Open(id string) (group, error)
	// Of names the group a process is in; "" if it is in none.
	Of(pid int) string
	Sweep(ctx context.Context, keep func(id string) bool) error
	// Remove removes what all groups are in; an error if there are some still.
	Remove() error
}

// group is one container's cgroup; *cgroup.Group is the real one.
type group interface {
	Join() ([]*os.File, error)
	// Set writes all limits, Change those that differ from what is in force.
	Set(l cgroup.Limits) error
	Change(from, to cgroup.Limits) error
	Stat() (cgroup.Stat, error)
	OOM() *os.File
	OOMKills() int64
	// WatchOOM gives a file of which a read returns when memory runs out; nil if nobody will ever know.
	WatchOOM() (*os.File, error)
	Pause(ctx context.Context) error
	Unpause(ctx context.Context) error
	Processes() ([]int, error)
	Remove(ctx context.Context) error
}

// realParts are what Open uses. Processes are born of this process's parent, the monitor, and what was never run is
// the monitor's to reap.
func realParts(ctx context.Context, tree string, m Monitor, log func(op string, err error)) (parts, error) {
	host, err := cgroup.Detect()
	if err != nil {
		return parts{}, fail("open", "", Unsupported, "the cgroups of this machine cannot be used: %w", err)
	}
	l := &launch.Launcher{BornOfParent: true, Reap: func(pidfd *os.File) {
		if err := m.Reap(ctx, pidfd); err != nil {
			log("reap", err)
		}
	}}
	l.Prepare()
	return parts{launcher: realLauncher{l}, groups: realGroups{host.Tree(tree)}, first: first, released: released}, nil
}

type realLauncher struct{ l *launch.Launcher }

func (r realLauncher) Park(ctx context.Context, spec launch.Spec) (parked, error) {
	p, err := r.l.Park(ctx, spec)
	if err != nil {
		return nil, err // a nil *launch.Parked must not become a parked that is not nil
	}
	return p, nil
}

func (r realLauncher) Stage(ctx context.Context, spec launch.Spec) (staged, error) {
	s, err := r.l.Stage(ctx, spec)
	if err != nil {
		return nil, err
	}
	return realStaged{s}, nil
}

type realStaged struct{ *launch.Staged }

func (r realStaged) Park(ctx context.Context, spec launch.Spec) (parked, error) {
	p, err := r.Staged.Park(ctx, spec)
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (r realLauncher) Exec(ctx context.Context, t launch.Target, spec launch.ExecSpec) (parked, error) {
	p, err := r.l.Exec(ctx, t, spec)
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (r realLauncher) Users(ctx context.Context, first, size uint32) (*os.File, error) {
	return r.l.Users(ctx, launch.IDRange{First: first, Size: size})
}

func (r realLauncher) OpenHost(ctx context.Context, h launch.HostPath) (*os.File, error) {
	return r.l.OpenHost(ctx, h)
}

func (r realLauncher) OwnerUsers(ctx context.Context, first, size, uid, gid uint32) (*os.File, error) {
	return r.l.OwnerUsers(ctx, launch.IDRange{First: first, Size: size}, uid, gid)
}

func (r realLauncher) Close() error { return r.l.Close() }

func (realLauncher) Commands(root *os.File, path []string) ([]string, error) {
	return launch.Commands(root, path)
}

type realGroups struct{ t *cgroup.Tree }

func (r realGroups) Create(id string, l cgroup.Limits) (group, error) {
	g, err := r.t.Create(id, l)
	if err != nil {
		return nil, err
	}
	return g, nil
}

func (r realGroups) Open(id string) (group, error) {
	g, err := r.t.Open(id)
	if err != nil {
		return nil, err
	}
	return g, nil
}

func (r realGroups) Of(pid int) string { return r.t.Of(pid) }

func (r realGroups) Sweep(ctx context.Context, keep func(string) bool) error {
	return r.t.Sweep(ctx, keep)
}

func (r realGroups) Remove() error { return r.t.Remove() }
