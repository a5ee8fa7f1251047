package launch

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"hull/engine/child"
	"hull/engine/internal/sys"
)

// openNetwork opens the process's own network namespace.
func (p *Parked) openNetwork() (err error) {
	p.network, err = os.Open(p.proc("ns/net"))
	if errors.Is(err, os.ErrNotExist) {
		return child.ErrGone
	}
	if err != nil {
		return &stepError{op: "open the network namespace", err: err}
	}
	return nil
}

// bringUp begins to bring the process's own network to life, beside what else
// becomes of the process.
func (s *Staged) bringUp(ctx context.Context, plug func(ctx context.Context, netns *os.File) error) {
	if plug == nil {
		return
	}
	s.up, s.plug = true, make(chan error, 1)
	go func() { s.plug <- plug(ctx, s.p.network) }()
}

// plugged waits until that is done.
func (s *Staged) plugged() error {
	if s.plug == nil {
		return nil
	}
	err := <-s.plug
	s.plug = nil
	if err != nil {
		return &stepError{op: "bring the network up", err: err}
	}
	return nil
}

// sysOf makes a /sys that shows a network, nil for the host's, to those whose
// own it is not: only who owns a network may mount it, and they could not.
func sysOf(netns *os.File) (view *os.File, err error) {
	look := func() error {
		fs, err := sys.OpenFileSystem("sysfs")
		if err != nil {
			return err
		}
		defer fs.Close()
		view, err = sys.CreateMount(fs)
		return err
	}
	if netns == nil {
		err = look()
	} else {
		err = sys.WithinNetwork(netns, look)
	}
	if err == nil {
		const hidden = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
		err = sys.ChangeTree(view, false, hidden, nil)
	}
	if err != nil {
		if view != nil {
			_ = view.Close()
		}
		return nil, &stepError{op: "make /sys", err: err}
	}
	return view, nil
}
