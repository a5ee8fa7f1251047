// Package launch starts containers and further processes in them.
//
// A process comes into being in two steps, so that the monitor can take it
// over in between: [Launcher.Park] (or [Launcher.Exec]) makes it complete but
// for its execve, [Parked.Run] releases it. What can be known before the
// release is: that the user and the working directory exist, and that the
// command is there and executable. A container's first process can be made yet
// earlier, before it is known what container it will be ([Launcher.Stage]).
//
// Between the steps the process is a stub (package child) that executes a
// plan (package plan). It ends by itself when this process dies.
//
// Nothing here trusts the image: everything of it is reached by a descriptor
// of its root with RESOLVE_IN_ROOT, looked at before it is opened, and read
// with a limit.
package launch

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"hull/engine/child"
	"hull/engine/internal/sys"
	"hull/engine/plan"
)

// Launcher makes processes. One serves a whole program; its zero value is
// ready, and it may be used from many goroutines.
type Launcher struct {
	// BornOfParent makes every process a child of this process's parent
	// instead of its own (CLONE_PARENT): hull's daemon sets it, so that the
	// monitor owns the containers and the daemon may die.
	BornOfParent bool
	// Reap is given a process that was killed before it ever ran its command
	// (a failed Park, an Abort) when BornOfParent is set: only the parent can
	// wait for it. The pidfd is closed when Reap returns. Nil: nobody is told.
	Reap func(pidfd *os.File)

	spawner child.Spawner
	stages  stages
	enters  enters
}

// Prepare makes what all launches share, before this process has many
// descriptors. What fails is tried again by the first launch, which tells why.
func (l *Launcher) Prepare() { _ = l.spawner.Prepare() }

// Close gives back what the launches shared. Processes live on.
func (l *Launcher) Close() error {
	return errors.Join(l.spawner.Close(), l.stages.close(), l.enters.close())
}

// Park makes a container up to the last step. The caller ends the Parked with
// Run or Abort, and then closes it.
func (l *Launcher) Park(ctx context.Context, spec Spec) (*Parked, error) {
	settings, err := spec.settings()
	if err != nil {
		return nil, explain(ctx, err, nil, "")
	}
	s, err := l.stage(ctx, spec, settings.recipe)
	if err != nil {
		return nil, err
	}
	return s.park(ctx, spec, settings)
}

// namespaces are those a container is born into. Its cgroup namespace is made
// once it is in its cgroups.
func namespaces(r IDRange, network Network) uint64 {
	flags := uint64(unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS)
	if network == plan.OwnNetwork {
		flags |= unix.CLONE_NEWNET
	}
	if r.Size > 0 {
		flags |= unix.CLONE_NEWUSER
	}
	return flags
}

// spawn makes a stub.
func (l *Launcher) spawn(o child.Options) (*Parked, error) {
	bury := l.bury
	if !o.OfParent {
		bury = buryOwn
	}
	stub, err := l.spawner.Spawn(o)
	if err == nil {
		return &Parked{stub: stub, bury: bury}, nil
	}
	if dead, ok := errors.AsType[*child.Stillborn](err); ok {
		bury(dead.Pidfd)
	}
	return nil, explainSpawn(err)
}

// bury has a process that has ended or been killed waited for by our parent,
// and closes its pidfd.
func (l *Launcher) bury(pidfd *os.File) {
	if l.Reap != nil {
		l.Reap(pidfd)
	}
	_ = pidfd.Close()
}

// buryOwn does so with a child of our own.
func buryOwn(pidfd *os.File) {
	_ = sys.Wait(pidfd)
	_ = pidfd.Close()
}

// proc is a path below the process's directory in /proc. The process is
// nobody's to reap before it is run, so its number is its own.
func (p *Parked) proc(name string) string { return fmt.Sprintf("/proc/%d/%s", p.stub.PID, name) }
