package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/cgroup"
	"hull/engine/launch"
	"hull/engine/monitor"
)

// launching is a start under way.
type launching struct {
	s      *supervisor
	image  *Image
	board  *boarding
	note   *runNote
	spec   launch.Spec
	rules  []cgroup.Device // what may be done with the host's devices in it
	adopt  monitor.Adopt
	run    *run
	warm   *warmInit // the process that was made beforehand; nil if there is none, or when it is parked
	parked parked
	// network is what the settings say of it; hostname that of the container whose network it is to have; again is set when
	// one that was made for it has died, and another takes its place.
	network  networking
	hostname string
	again    bool
	unhand   func()     // takes the process back from the monitor; nil if that has not got it
	trees    []*os.File // of the volumes among the mounts, in their order
	hosts    []*os.File // of the host's paths among them
	undo     []func()   // what to do, last first, if it fails
}

func (l *launching) onFailure(f func()) { l.undo = append(l.undo, f) }

func (l *launching) takeBack() {
	for i := len(l.undo) - 1; i >= 0; i-- {
		l.undo[i]()
	}
}

// do goes through the steps of a start.
func (l *launching) do() error {
	for _, step := range []func() error{
		l.prepare, l.takeVolumes, l.openHosts, l.takeRange, l.takePlaces, l.publishPorts, l.makeStdio, l.noteAttempt, l.makeGroup,
		l.park, l.see,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// prepare puts settings and image together and checks that the owner may have what they ask for.
func (l *launching) prepare() error {
	s := l.s
	l.spec = s.set.stage()
	l.note = &runNote{Started: time.Now().Round(0), Settings: s.rec.Settings}
	if err := mayHave(s.rec.Owner, s.set); err != nil {
		return err
	}
	if err := s.e.mayNetwork(s.rec.Owner, s.set); err != nil {
		return err
	}
	if err := l.findNetwork(); err != nil {
		return err
	}
	p, err := s.set.resolve(s.id, l.hostname, l.image)
	if err != nil {
		return err
	}
	l.note.Process = &p
	l.run = &run{}
	devices, err := s.set.devices()
	l.spec.Devices, l.rules = devices.nodes, devices.rules
	return err
}

// takeRange takes the id range: the one its file system is mounted with, if somebody looks at that, else that of a
// process that was made beforehand, else the one it had before, else any.
func (l *launching) takeRange() error {
	s := l.s
	if l.note.Process.Privileges.HostUsers {
		return nil
	}
	if !s.lease.hold() {
		lease, err := l.freshRange()
		if err != nil {
			return err
		}
		s.lease = lease
	}
	l.run.lease = s.lease
	l.note.Range = s.lease.first
	l.onFailure(l.run.lease.drop)
	if w := l.warm; w != nil {
		l.note.Group, l.run.group = w.name, w.group
		l.onFailure(func() { s.removeGroup(w.group) })
		l.onFailure(func() {
			if l.warm != nil {
				w.staged.Abort()
			}
		})
	}
	return nil
}

// freshRange takes a range that nobody has, and the process that comes with it if there is one.
func (l *launching) freshRange() (*lease, error) {
	s := l.s
	if l.warm = s.e.pool.take(l.spec, s.warmFor(l.network)...); l.warm != nil {
		return l.warm.lease, nil
	}
	lease, ok := s.e.ranges.lease(s.st.Run.Range)
	if !ok {
		return nil, fail("start", s.id, Busy, "all %d ranges of user ids are taken by running containers; stop one", rangeCount)
	}
	return lease, nil
}

// noteAttempt says on disk that a start is under way, before the monitor can have heard of it.
func (l *launching) noteAttempt() error {
	noted := l.s.st
	noted.Attempt = l.note
	if err := noted.write(l.s.dir); err != nil {
		return fail("start", l.s.id, kindOfErrno(err), "the container's state cannot be written: %w", err)
	}
	l.s.e.crash(startNoted)
	return nil
}

func (l *launching) makeGroup() error {
	s := l.s
	limits := l.limits()
	if l.run.group != nil { // it came with the process
		if err := l.run.group.Change(values{}.limits(), limits); err != nil {
			return fail("start", s.id, kindOfErrno(err), "the container's limits cannot be set: %w", err)
		}
		s.e.crash(startCgroup)
		return nil
	}
	g, err := s.e.parts.groups.Create(s.id, limits)
	if err != nil {
		g, err = s.makeGroupAgain(limits, err)
	}
	if err != nil {
		return fail("start", s.id, kindOfErrno(err), "the container's cgroup cannot be made: %w", err)
	}
	l.run.group = g
	l.onFailure(func() { s.removeGroup(g) })
	if l.spec.Cgroups, err = g.Join(); err != nil {
		return fail("start", s.id, kindOfErrno(err), "the container's cgroup cannot be opened: %w", err)
	}
	l.onFailure(func() { closeAll(l.spec.Cgroups...) })
	s.e.crash(startCgroup)
	return nil
}

// makeGroupAgain makes a cgroup where one of an earlier run was left, which could not be removed then.
func (s *supervisor) makeGroupAgain(limits cgroup.Limits, first error) (group, error) {
	old, err := s.e.parts.groups.Open(s.id)
	if err != nil {
		return nil, first
	}
	if err := old.Remove(s.e.ctx); err != nil {
		return nil, errors.Join(first, err)
	}
	return s.e.parts.groups.Create(s.id, limits)
}

// limits are what the container's cgroup is made with.
func (l *launching) limits() cgroup.Limits {
	limits := l.s.set.limits()
	limits.Devices, limits.AllDevices = append(limits.Devices, l.rules...), l.spec.Privileged
	return limits
}

// makeStdio makes the pipes between the command and the monitor; with a terminal the launcher makes that instead.
func (l *launching) makeStdio() error {
	l.adopt = monitor.Adopt{ID: l.s.id, Dir: l.s.dir, Started: l.note.Started, Volatile: l.s.set.flag("auto_remove"), Bounds: l.s.set.bounds()}
	l.spec.TTY = l.note.Process.TTY
	if l.spec.TTY {
		l.spec.Rows, l.spec.Cols = l.board.size()
		return nil
	}
	var err error
	if l.adopt.Stdout, l.spec.Stdout, err = l.output(); err != nil {
		return err
	}
	if l.adopt.Stderr, l.spec.Stderr, err = l.output(); err != nil {
		return err
	}
	l.note.Outputs = [2]uint64{inodeOf(l.adopt.Stdout), inodeOf(l.adopt.Stderr)}
	if l.note.Process.Stdin {
		if l.spec.Stdin, l.run.stdin, err = l.pipe(); err != nil {
			return err
		}
		l.adopt.Stdin = l.run.stdin
	}
	return nil
}

// output makes a pipe for what the container writes, whose end it can read as well as write. So it is never without a
// reader: if all of hull is killed, the container waits until there is room, and is not ended by a broken pipe.
func (l *launching) output() (read, both *os.File, err error) {
	read, write, err := l.pipe()
	if err != nil {
		return nil, nil, err
	}
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(int(write.Fd())), unix.O_RDWR|unix.O_CLOEXEC, 0)
	closeAll(write)
	if err != nil {
		return nil, nil, fail("start", l.s.id, kindOfErrno(err), "a pipe for the container's output cannot be made: %w", os.NewSyscallError("open", err))
	}
	both = os.NewFile(uintptr(fd), "pipe")
	l.onFailure(func() { closeAll(both) })
	return read, both, nil
}

// pipe makes a pipe which the container's root owns, so that what opens /dev/stdout inside may.
func (l *launching) pipe() (read, write *os.File, err error) {
	read, write, err = blockingPipe()
	if err != nil {
		return nil, nil, fail("start", l.s.id, kindOfErrno(err), "a pipe for the container's output cannot be made: %w", err)
	}
	l.onFailure(func() { closeAll(read, write) })
	owner := int(l.note.Range)
	if err := write.Chown(owner, owner); err != nil && os.Geteuid() == 0 {
		return nil, nil, fail("start", l.s.id, System, "a pipe cannot be given to the container: %w", err)
	}
	return read, write, nil
}

// park makes everything of the container but its execve.
func (l *launching) park() error {
	s, p := l.s, l.note.Process
	l.spec.ID, l.spec.Hostname = s.id, p.Hostname
	l.spec.Args, l.spec.Env, l.spec.Dir, l.spec.User = p.Args, p.Env, p.Dir, p.User
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
		var own *Error
		if errors.As(err, &own) { // the root's: it needs no sentence around it
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
	closeAll(l.run.pidfd, l.run.pty, l.run.root, l.run.stdin, l.adopt.Stdout, l.adopt.Stderr)
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
	l.onFailure(func() { closeAll(l.run.pidfd, l.run.pty, l.run.root) })
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
