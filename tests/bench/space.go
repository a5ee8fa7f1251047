package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// space runs programs in a mount namespace in which cgroups are of version 1
// alone: crun refuses a machine that has version 2 mounted beside it, as systemd
// does without any controllers. Nothing else differs, and nothing of it is in the
// time: the namespace is that of a thread, whose children are born in it.
type space struct {
	work chan func()
	err  error
}

func newSpace(ctx context.Context) (*space, error) {
	s := &space{work: make(chan func())}
	ready := make(chan struct{})
	go func() { // ends with ctx, and its thread with it
		runtime.LockOSThread()
		s.err = s.enter()
		close(ready)
		for {
			select {
			case f := <-s.work:
				f()
			case <-ctx.Done():
				return
			}
		}
	}()
	<-ready
	return s, s.err
}

func (s *space) enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return os.NewSyscallError("mount", err)
	}
	const second = "/sys/fs/cgroup/unified"
	var st unix.Statfs_t
	if err := unix.Statfs(second, &st); err != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
		return nil //nolint:nilerr // there is none
	}
	return os.NewSyscallError("umount", unix.Unmount(second, unix.MNT_DETACH))
}

// run runs a command. Its error has what the command said, if it is not detached:
// then it keeps its output, and nothing is read.
func (s *space) run(c *exec.Cmd, detached bool) error {
	var said bytes.Buffer
	if !detached {
		c.Stdout, c.Stderr = &said, &said
	}
	started := make(chan error)
	s.work <- func() { started <- c.Start() }
	err := <-started
	if err == nil {
		err = c.Wait()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w: %s", c.Path, err, tail(said.Bytes())))
	}
	return nil
}
