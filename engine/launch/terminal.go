package launch

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
	"hull/engine/plan"
)

const (
	devptsMagic = 0x1cd1
	pipefsMagic = 0x50495045
	ttyGroup    = 5
)

// stdio gives the process's 0, 1 and 2 and makes them its user's. done closes
// what only the process needs. A terminal is made in root's devpts.
func (p *Parked) stdio(s settings, pr plan.Process, root *os.File) (files [3]*os.File, done func(), err error) {
	if s.tty {
		master, slave, err := openPty(&tree{dir: root, ids: s.ids}, pr.UID)
		if err != nil {
			return files, nil, &stepError{op: "make a terminal", err: err}
		}
		p.pty = master
		if err := sys.Resize(master, s.rows, s.cols); err != nil {
			_ = slave.Close()
			return files, nil, &stepError{op: "set the terminal's size", err: err}
		}
		return [3]*os.File{slave, slave, slave}, func() { _ = slave.Close() }, nil
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return files, nil, err
	}
	for i, f := range s.stdio {
		if f == nil {
			f = null
		}
		giveAway(f, s.ids.Host(pr.UID), s.ids.Host(pr.GID))
		files[i] = f
	}
	return files, func() { _ = null.Close() }, nil
}

// giveAway makes an anonymous pipe the user's, so that /dev/stdout can be
// opened again by name. Files that have a name keep their owner.
func giveAway(f *os.File, uid, gid int) {
	// Other files are not even looked at: they may be on hull's own mount.
	if !sys.IsPipe(f) {
		return
	}
	if kind, err := sys.FileSystem(f); err == nil && kind == pipefsMagic {
		_ = sys.Own(f, uid, gid) // without it only reopening fails
	}
}

// noTerminals is about a container that has unmounted or covered its own /dev/pts.
func noTerminals(err error) error {
	return &Error{Op: "make a terminal", Kind: Hostile, Text: "hull cannot make a terminal: what the container has at /dev/pts/ptmx is not what it was started with; do without a terminal, or restart it", Err: err}
}

// openPty makes a terminal in the root's devpts. The container may have put
// anything in its place: links are refused, what is there is looked at before
// it is opened, and the other end is opened through the master, not by name.
func openPty(t *tree, uid uint32) (master, slave *os.File, err error) {
	ptmx, err := t.open("dev/pts/ptmx", unix.O_PATH, unix.RESOLVE_NO_SYMLINKS)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EACCES) {
		return nil, nil, noTerminals(err)
	}
	if err != nil {
		return nil, nil, err
	}
	defer ptmx.Close()
	kind, err := sys.FileSystem(ptmx)
	if err != nil {
		return nil, nil, err
	}
	st, err := sys.Stat(ptmx)
	if err != nil {
		return nil, nil, err
	}
	if kind != devptsMagic || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(5, 2) {
		return nil, nil, noTerminals(nil)
	}
	if master, err = sys.Reopen(ptmx, unix.O_RDWR|unix.O_NOCTTY); err != nil {
		return nil, nil, err
	}
	if slave, err = sys.Peer(master); err == nil {
		err = sys.Own(slave, t.ids.Host(uid), t.ids.Host(ttyGroup))
	}
	if err != nil {
		_ = master.Close()
		if slave != nil {
			_ = slave.Close()
		}
		return nil, nil, err
	}
	return master, slave, nil
}
