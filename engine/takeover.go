package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
	"hull/engine/monitor"
)

// Monitor and daemon may be killed at once. Then nobody holds the containers, and they go on all the same: what they
// write waits in their pipes, which they themselves keep open for reading (see launching.output). The next daemon finds
// them here, by what is on disk of their runs.

// takeOver gives the process of a run that nobody holds to the monitor, if it lives; nil if there is none.
func (s *supervisor) takeOver(ctx context.Context) *monitor.Held {
	note, begun := s.lostRun()
	if note == nil {
		return nil
	}
	name := note.Group
	if name == "" {
		name = s.id
	}
	g, err := s.e.parts.groups.Open(name)
	if err != nil {
		return nil // it has ended: the group lives as long as what is in it
	}
	pids, err := g.Processes()
	if err != nil {
		return nil
	}
	h, err := s.firstOf(pids, name, note)
	if err == nil && h == nil {
		return nil
	}
	if err == nil && !begun && s.abandoned(ctx, h) {
		h.Close()
		return nil
	}
	if err == nil {
		err = s.adoptAgain(ctx, h, g, pids, note)
	}
	if err != nil {
		if h != nil {
			h.Close()
		}
		s.e.o.Logger.Error("a container that nobody held cannot be taken over, and is ended", "container", s.id, "op", "open", "err", err)
		return nil
	}
	s.e.o.Logger.Warn("a container that nobody held is taken over", "container", s.id, "op", "open")
	s.hangUpLost(ctx, pids, h)
	return h
}

// lostRun is the run whose process may live; nil if there is none. begun tells that it is known to run its command.
func (s *supervisor) lostRun() (note *runNote, begun bool) {
	st := readState(s.dir)
	switch {
	case st == nil || s.st.State == Dead:
		return nil, false
	case st.Attempt != nil:
		note = st.Attempt
	case st.State.Alive():
		note, begun = &st.Run, true
	default:
		return nil, false
	}
	if x, err := monitor.ReadExit(s.dir); err == nil && x.Started.Equal(note.Started) {
		return nil, false
	}
	return note, begun
}

// abandoned waits until the first process of a start that was not noted to its end either runs its command or ends, as
// it does by itself when the daemon has died before it was released, or because the monitor that lives does not know it.
// Taken over, it would end as a run that somebody has killed.
func (s *supervisor) abandoned(ctx context.Context, h *monitor.Held) bool {
	for until := time.Now().Add(decideWithin); !s.e.parts.released(h.PID); {
		if sys.ExitsWithin(h.Pidfd, 2*time.Millisecond) || ctx.Err() != nil {
			return true
		}
		if time.Now().After(until) {
			return false
		}
	}
	return sys.Exited(h.Pidfd)
}

// firstOf finds the first process of the run among those of its cgroup. A number alone could be another's by now: it
// counts with the group, whose name no other run has, with being the first in a pid namespace of its own, and, where the
// kernel has them (Linux 6.9), with the inode of its pidfd.
func (s *supervisor) firstOf(pids []int, group string, note *runNote) (*monitor.Held, error) {
	for _, pid := range pids {
		if note.PID != 0 && note.PID != pid || !s.e.parts.first(pid) {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return nil, os.NewSyscallError("pidfd_open", err)
		}
		pidfd := os.NewFile(uintptr(fd), "pidfd")
		if s.e.parts.groups.Of(pid) == group && s.e.parts.first(pid) && (note.Inode == 0 || note.Inode == inodeOf(pidfd)) {
			return &monitor.Held{ID: s.id, Dir: s.dir, PID: pid, Started: note.Started, Pidfd: pidfd}, nil
		}
		closeAll(pidfd)
	}
	return nil, nil
}

func (s *supervisor) adoptAgain(ctx context.Context, h *monitor.Held, g group, pids []int, note *runNote) error {
	a := monitor.Adopt{
		ID: s.id, Dir: s.dir, PID: h.PID, Pidfd: h.Pidfd, Started: h.Started, OOM: g.OOM(), Volatile: s.set.flag("auto_remove"), Again: true,
		Bounds: s.set.bounds(),
	}
	search := append([]int{h.PID}, pids...)
	a.Stdout, a.Stderr = outputAgain(search, note.Outputs[0]), outputAgain(search, note.Outputs[1])
	err := s.e.o.Monitor.Adopt(ctx, a)
	closeAll(a.OOM, a.Stdout, a.Stderr)
	return err
}

// outputAgain finds a pipe that one of the processes has open, and opens it for reading; nil if none has it any more.
// What is in it is still there.
func outputAgain(pids []int, inode uint64) *os.File {
	if inode == 0 {
		return nil
	}
	want := fmt.Sprintf("pipe:[%d]", inode)
	for _, pid := range pids {
		dir := "/proc/" + strconv.Itoa(pid) + "/fd"
		names, _ := os.ReadDir(dir)
		for _, name := range names {
			path := filepath.Join(dir, name.Name())
			if target, err := os.Readlink(path); err != nil || target != want {
				continue
			}
			if f := openPipe(path, inode); f != nil {
				return f
			}
		}
	}
	return nil
}

// openPipe looks at what it opens before it opens it: the process may have put something else there.
func openPipe(path string, inode uint64) *os.File {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	seen := os.NewFile(uintptr(fd), path)
	defer closeAll(seen)
	if inodeOf(seen) != inode || !isPipe(seen) {
		return nil
	}
	read, err := unix.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	_ = unix.SetNonblock(read, false)
	return os.NewFile(uintptr(read), "pipe")
}

// hangUpLost ends what was executed in the container: whoever did it has heard that it is lost. It is what is in it and
// was born outside.
func (s *supervisor) hangUpLost(ctx context.Context, pids []int, h *monitor.Held) {
	for _, pid := range pids {
		if pid == h.PID || slices.Contains(pids, parentOf(pid)) {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		pidfd := os.NewFile(uintptr(fd), "pidfd")
		key := newID()
		err = s.e.o.Monitor.Session(ctx, monitor.Session{ID: s.id, Key: key, PID: pid, Pidfd: pidfd, Started: h.Started, Again: true})
		if err == nil {
			err = s.e.o.Monitor.HangUp(ctx, s.id, key)
		}
		if err != nil {
			s.e.o.Logger.Warn("what was executed in a container cannot be hung up", "container", s.id, "op", "open", "err", err)
		}
		closeAll(pidfd)
	}
}

// sayTakenOver tells that a container is found again that nobody held, and what became of it where it is not as it was.
func (s *supervisor) sayTakenOver() {
	if s.run == nil {
		return
	}
	var lost []string
	switch p := s.st.Run.Process; {
	case p == nil:
	case p.TTY:
		lost = []string{"lost", "terminal"}
		s.st.Error = "hull's processes were killed while it ran, and its terminal was hung up; it goes on without one, and what it writes there is lost"
	case p.Stdin:
		lost = []string{"lost", "input"}
		s.st.Error = "hull's processes were killed while it ran, and its input has ended; it goes on"
	}
	s.save()
	s.because(recovery, func() { s.say(actTakeOver, lost...) })
}

// first tells whether a process is the first of a pid namespace right below this one.
func first(pid int) bool {
	f := strings.Fields(sys.StatusField(pid, "NSpid:"))
	return len(f) == 2 && f[1] == "1"
}

// parentOf is the number of a process's parent, 0 if it is not known.
func parentOf(pid int) int {
	stat, _ := sys.ReadStat(pid)
	return stat.Parent
}

// inodeOf is a file's inode number, 0 if it has none that says anything.
func inodeOf(f *os.File) uint64 {
	var st unix.Stat_t
	if f == nil || unix.Fstat(int(f.Fd()), &st) != nil {
		return 0
	}
	return st.Ino
}

// isPipe tells whether a file is a pipe without a name.
func isPipe(f *os.File) bool {
	var fs unix.Statfs_t
	return unix.Fstatfs(int(f.Fd()), &fs) == nil && fs.Type == unix.PIPEFS_MAGIC
}
