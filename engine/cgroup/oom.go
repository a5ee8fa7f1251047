package cgroup

import (
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// WatchOOM gives a file of which a read returns when memory has run out in the group, and may return when nothing has
// happened. With version 1 it returns before the kernel has killed, so that OOMKills is to be asked again for a moment.
// The file is the caller's to close, which ends a read.
func (g *Group) WatchOOM() (*os.File, error) {
	d := g.of("memory")
	if d == nil {
		return nil, g.without("memory", true)
	}
	watch := d.watchEventfd
	if d.V2 {
		watch = d.watchInotify
	}
	fd, err := watch()
	if err != nil {
		return nil, system("watch", g.id, err)
	}
	return os.NewFile(uintptr(fd), "oom"), nil
}

// watchEventfd is version 1's way: an event counter, registered with the file it is to be about.
func (d *dir) watchEventfd() (int, error) {
	about, err := open(path.Join(d.path, d.oomFile()), unix.O_RDONLY)
	if err != nil {
		return -1, err
	}
	defer func() { _ = unix.Close(about) }()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return -1, os.NewSyscallError("eventfd2", err)
	}
	if err := write(path.Join(d.path, "cgroup.event_control"), fmt.Sprintf("%d %d", fd, about)); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// watchInotify is version 2's: the file counts as modified when a number in it changes.
func (d *dir) watchInotify() (int, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return -1, os.NewSyscallError("inotify_init1", err)
	}
	if _, err := unix.InotifyAddWatch(fd, path.Join(d.path, d.oomFile()), unix.IN_MODIFY); err != nil {
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("inotify_add_watch", err)
	}
	return fd, nil
}
