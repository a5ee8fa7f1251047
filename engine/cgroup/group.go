package cgroup

import (
	"context"
	"errors"
	"os"
	"path"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// removeWithin bounds the wait for a group to become empty: its processes are dead or dying.
const removeWithin = 5 * time.Second

// Group is the cgroup of one container: one directory in each hierarchy.
type Group struct {
	id   string
	dirs []dir
}

type dir struct {
	*Hierarchy
	path string
}

// of gives the directory that has a controller; nil if this host has none.
func (g *Group) of(controller string) *dir {
	for i := range g.dirs {
		if g.dirs[i].has(controller) {
			return &g.dirs[i]
		}
	}
	return nil
}

func (g *Group) v2() *dir {
	for i := range g.dirs {
		if g.dirs[i].V2 {
			return &g.dirs[i]
		}
	}
	return nil
}

// Join opens the ways into the group: of version 1 what a process writes "0" to, of version 2 the directory in which one
// is born (CLONE_INTO_CGROUP). The files are the caller's to close.
func (g *Group) Join() ([]*os.File, error) {
	var files []*os.File
	for _, d := range g.dirs {
		name, flags := path.Join(d.path, "tasks"), unix.O_WRONLY
		if d.V2 {
			name, flags = d.path, unix.O_PATH|unix.O_DIRECTORY
		}
		fd, err := open(name, flags)
		if err != nil {
			for _, f := range files {
				_ = f.Close()
			}
			return nil, system("join", g.id, err)
		}
		files = append(files, os.NewFile(uintptr(fd), name))
	}
	return files, nil
}

// OOM opens the file with the line "oom_kill N" for monitor.Adopt; nil where there is none.
func (g *Group) OOM() *os.File {
	d := g.of("memory")
	if d == nil {
		return nil
	}
	name := path.Join(d.path, d.oomFile())
	fd, err := open(name, unix.O_RDONLY)
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(fd), name)
}

// Processes lists the processes in the group, by the ids this process sees them under.
func (g *Group) Processes() ([]int, error) {
	var pids []int
	for _, d := range g.dirs {
		more, err := processes(d.path)
		if err != nil {
			return nil, system("list", g.id, err)
		}
		pids = append(pids, more...)
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

// Kill ends the group: no process is born in it any more, and all that are in it get SIGKILL, a frozen group too. They
// may be there for a moment more: Remove waits.
func (g *Group) Kill(ctx context.Context) error {
	if d := g.v2(); d != nil && len(g.dirs) == 1 && write(path.Join(d.path, "cgroup.kill"), "1") == nil {
		return nil
	}
	if d := g.of("pids"); d != nil { // so that a fork bomb is not quicker
		_ = write(path.Join(d.path, "pids.max"), "0")
	}
	met := map[int]bool{}
	for {
		n, err := g.killNew(met)
		if err != nil {
			return err
		}
		if d := g.of("freezer"); d != nil { // the killed can only die when they thaw
			_ = write(path.Join(d.path, "freezer.state"), "THAWED")
		}
		if n == 0 || ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// killAtOnce bounds the descriptors that killing takes.
const killAtOnce = 256

// killNew kills processes that have not been met. Each is held by a descriptor before the list is read again, so that
// its number cannot have come to mean a process of somebody else's.
func (g *Group) killNew(met map[int]bool) (killed int, err error) {
	pids, err := g.Processes()
	if err != nil {
		return 0, err
	}
	held := map[int]int{}
	defer func() {
		for _, fd := range held {
			_ = unix.Close(fd)
		}
	}()
	for _, pid := range pids {
		if met[pid] || len(held) == killAtOnce {
			continue
		}
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			held[pid] = fd
		}
	}
	if len(held) == 0 {
		return 0, nil
	}
	if pids, err = g.Processes(); err != nil {
		return 0, err
	}
	for _, pid := range pids {
		if fd, ok := held[pid]; ok {
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
	}
	for pid := range held {
		met[pid] = true
	}
	return len(held), nil
}

// Remove removes the group, and waits until it is empty for as long as ctx lasts, 5 s at most. Kind Busy if it is not
// empty then. A group that is gone is no error.
func (g *Group) Remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, removeWithin)
	defer cancel()
	for _, d := range g.dirs {
		pause := time.Millisecond
		for {
			err := removeAll(d.path)
			if err == nil {
				break
			}
			if !errors.Is(err, unix.EBUSY) {
				return system("remove", g.id, err)
			}
			select {
			case <-ctx.Done():
				return fail("remove", g.id, Busy, "the cgroup %s still has processes in it", d.path)
			case <-time.After(pause):
				pause = min(2*pause, 100*time.Millisecond)
			}
		}
	}
	return nil
}

// removeAll removes a cgroup and those below it, which a privileged container may have made.
func removeAll(dir string) error {
	err := unix.Rmdir(dir)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	names, listed := subdirectories(dir)
	if listed != nil || len(names) == 0 {
		return os.NewSyscallError("rmdir", err)
	}
	for _, name := range names {
		if err := removeAll(path.Join(dir, name)); err != nil {
			return err
		}
	}
	return os.NewSyscallError("rmdir", unix.Rmdir(dir))
}
