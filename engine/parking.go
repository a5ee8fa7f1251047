package engine

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"hull/engine/launch"
)

// The second half of a start: the container's process is made, given to the monitor, and let go.

// park makes everything of the container but its execve.
func (l *launching) park() error {
	s, p := l.s, l.note.Process
	l.spec.ID, l.spec.Hostname = s.id, p.Hostname
	l.spec.Args, l.spec.Env, l.spec.Dir, l.spec.User, l.spec.AdditionalGroups = p.Args, p.Env, p.Dir, p.User, p.Groups
	l.spec.Init = s.set.flag("init")
	l.spec.Capabilities, l.spec.NoNewPrivileges = p.Privileges.names(), !p.Privileges.Gains
	var err error
	if l.spec.Seccomp, err = p.Privileges.filter(); err != nil {
		return err
	}
	l.spec.Limits = rlimits(p.Ulimits)
	l.spec.Range = idRange(l.note.Range)
	l.spec.Files = l.note.etc(s.e)
	s.tellNamesOf(l.note)
	l.onFailure(func() { s.e.names.Drop(s.id) })
	l.spec.Root, l.spec.Begun = l.mount, l.handOver
	l.spec.ReadOnly = p.ReadOnly
	if len(p.Mounts) > 0 {
		l.spec.Mounts = l.mountAll
	}
	parked, err := l.parkNow()
	closeAll(l.spec.Stdin, l.spec.Stdout, l.spec.Stderr) // the monitor waits for their last end to be closed
	closeAll(l.spec.Cgroups...)
	if err != nil {
		if own, ok := errors.AsType[*Error](err); ok { // the root's: it needs no sentence around it
			return own
		}
		return err
	}
	l.parked = parked
	l.onFailure(func() {
		parked.Abort()
		parked.Close()
	})
	return nil
}

// parkNow makes the process of the one that was made beforehand, if there is one. If somebody has killed that while it
// waited, a new one takes its place, with its range and in its cgroup.
func (l *launching) parkNow() (parked, error) {
	e := l.s.e
	if w := l.warm; w != nil {
		l.warm = nil // it is used up, whatever comes
		p, err := w.staged.Park(e.ctx, l.spec)
		var known *launch.Error
		if !errors.As(err, &known) || known.Kind != launch.Gone {
			return p, err
		}
		l.again = true
		if err := l.startAgain(); err != nil {
			return nil, err
		}
		if l.spec.Cgroups, err = l.run.group.Join(); err != nil {
			return nil, err
		}
		defer closeAll(l.spec.Cgroups...)
	}
	return e.parts.launcher.Park(e.ctx, l.spec)
}

// startAgain takes the process that has been killed back from the monitor, if that has it already. What it leaves in its
// pipes is not read by two: the next has pipes of its own.
func (l *launching) startAgain() error {
	if l.unhand == nil {
		return nil
	}
	closeAll(l.spec.Stdin, l.spec.Stdout, l.spec.Stderr)
	l.unhand()
	closeAll(l.run.pidfd, l.run.pty, l.run.root, l.run.netns, l.run.stdin, l.adopt.Stdout, l.adopt.Stderr)
	return l.makeStdio()
}

// keepFiles takes what the run keeps of the process: the rest of the launcher's descriptors goes when it runs.
func (l *launching) keepFiles(p launch.Begun) (err error) {
	l.note.PID, l.note.Inode = p.PID(), inodeOf(p.Pidfd())
	if l.run.pidfd, err = dup(p.Pidfd()); err == nil {
		l.run.pty, err = dup(p.Pty())
	}
	if err == nil {
		l.run.root, err = dup(p.Root())
	}
	if err == nil {
		l.run.netns, err = dup(p.Network())
	}
	if err != nil {
		return fail("start", l.s.id, kindOfErrno(err), "a descriptor of the container's process cannot be kept: %w", err)
	}
	return nil
}

// mount makes the root file system: the very mount that somebody browses, if there is one, so that there is never a
// second overlay on one upper directory.
func (l *launching) mount(users *os.File) (*os.File, error) {
	s := l.s
	if m, err := s.view.clone(l.note.Range); m != nil || err != nil {
		l.onFailure(s.view.runEnded) // else it were kept for a run that never was
		return m, err
	}
	if !s.yieldView(l.note.Process.Privileges.HostUsers, yieldWithin) { // it was mounted before privileged or userns changed
		return nil, fail("start", s.id, Busy,
			"somebody has a file of the container's rootfs open, with the owners it had before privileged or userns changed; close it, and start it again")
	}
	if s.unmount != nil { // never a second overlay on one upper directory
		select {
		case <-s.unmount:
		case <-time.After(unmountPatience):
			return nil, fail("start", s.id, Busy, "the files of its last run are still being written to the disk; try again later")
		case <-s.e.ctx.Done():
			return nil, s.e.ctx.Err()
		}
	}
	disk, err := os.Open(filepath.Join(s.dir, diskDir))
	if err != nil {
		return nil, err
	}
	defer disk.Close()
	m, err := s.e.o.Roots.Mount(s.e.ctx, l.image.ID, disk, users, l.note.Range, false)
	if users != nil && KindOf(err) == Unsupported {
		err = fail("start", s.id, Unsupported,
			"the container cannot have users of its own here: %w; write host into config/userns (run --userns host), or move hull's store to another file system", err)
	}
	return m, err
}

// unmountPatience is how long a start waits for the end of the last run to reach the disk.
const unmountPatience = 10 * time.Second

// handOver gives the process to the monitor while it is still being made, and lets it execute the command as soon as it
// can. Who is to see it from the beginning is attached before that, and not before the process has come so far: of one
// that dies on the way, and in whose place comes another, they must not hear.
func (l *launching) handOver(p launch.Begun) error {
	s := l.s
	s.e.crash(startParked)
	l.onFailure(func() { closeAll(l.run.pidfd, l.run.pty, l.run.root, l.run.netns) })
	if err := l.keepFiles(p); err != nil {
		return err
	}
	l.adopt.PID, l.adopt.Pidfd, l.adopt.Pty, l.adopt.OOM = l.note.PID, l.run.pidfd, l.run.pty, l.run.group.OOM()
	err := s.e.o.Monitor.Adopt(s.e.ctx, l.adopt)
	closeAll(l.adopt.OOM)
	if err != nil {
		return fail("start", s.id, kindOfErrno(err), "the container cannot be given to hull's monitor: %w", err)
	}
	pidfd := l.run.pidfd
	l.unhand = func() {
		l.unhand = nil
		s.settle(pidfd, l.note)
	}
	l.onFailure(func() {
		if l.unhand != nil {
			l.unhand()
		}
	})
	s.e.crash(startAdopted)
	if l.board != nil {
		return nil
	}
	return p.Release(s.e.ctx)
}

// see waits until the process executes the command. It is the last step that can fail.
func (l *launching) see() (err error) {
	s := l.s
	if l.board != nil {
		if l.board.attachment, err = s.attach(l.run, l.note.Process, l.board.options, true); err != nil {
			return err
		}
	}
	if err := l.parked.Run(s.e.ctx); err != nil {
		return err
	}
	s.e.crash(startReleased)
	return nil
}
