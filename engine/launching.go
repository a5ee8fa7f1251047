package engine

import (
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/cgroup"
	"hull/engine/launch"
	"hull/engine/monitor"
)

// launching is a start under way. The steps here bring together what its process is to have; those in parking.go make it.
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
