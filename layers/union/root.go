package union

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
)

// root is what the root of the union is to look like.
type root struct {
	uid, gid uint32
	mode     uint32
	times    [2]unix.Timespec
	xattrs   map[string][]byte // user.* only
}

// rootOf reads it from the root of a layer.
func rootOf(layer sys.FD) (r root, err error) {
	var st unix.Stat_t
	if err := layer.Stat(&st); err != nil {
		return r, err
	}
	r = root{uid: st.Uid, gid: st.Gid, mode: st.Mode & 0o7777, times: [2]unix.Timespec{st.Atim, st.Mtim}, xattrs: map[string][]byte{}}
	names, err := layer.Listxattr()
	for _, name := range names {
		if !strings.HasPrefix(name, "user.") || err != nil {
			continue
		}
		r.xattrs[name], _, err = layer.Getxattr(name)
	}
	return r, err
}

// set gives a directory the look of the root.
func (r *root) set(fd sys.FD) error {
	err := errors.Join(fd.Fchown(r.uid, r.gid), fd.Fchmod(r.mode))
	for name, value := range r.xattrs {
		err = errors.Join(err, fd.Setxattr(name, value))
	}
	return errors.Join(err, fd.Futimes(&r.times))
}

// rangeSize is how many users a container has.
const rangeSize = 65536

// shift gives the root to the ids that a range's users have on the host. Who is none of
// them becomes nobody.
func (r *root) shift(base uint32) {
	for _, id := range []*uint32{&r.uid, &r.gid} {
		if *id >= rangeSize {
			*id = rangeSize - 2
		}
		*id += base
	}
}

// prepareUpper makes "upper" and "work" where they are missing, and opens them in
// one id-mapped tree (overlay wants both on one mount).
func (m *mount) prepareUpper(r root) error {
	dir := sys.Of(m.o.Upper)
	if err := m.makeUpper(dir, r); err != nil {
		return failed("making the container's own layer", err)
	}
	if err := m.clearVolatile(dir); err != nil {
		return failed("clearing the work directory", err)
	}
	tree, err := m.idMapped(dir)
	if err != nil {
		return failed("id-mapping the container's own layer", err)
	}
	for name, fd := range map[string]*sys.FD{"upper": &m.upper, "work": &m.work} {
		var err error
		if *fd, err = m.keep(tree.Open(name, unix.O_PATH|unix.O_DIRECTORY, 0)); err != nil {
			return failed(fmt.Sprintf("opening the container's %q directory", name), err)
		}
	}
	return nil
}

// clearVolatile removes the note (work/work/incompat/volatile/dirty) with which an
// earlier volatile mount keeps overlay from mounting again, because upper would be
// incomplete had the machine crashed since. Whoever made that mount said that it
// would not matter; what is there now is written out if it matters from now on.
func (m *mount) clearVolatile(dir sys.FD) error {
	at := dir
	var open []sys.FD
	defer func() {
		for _, fd := range open {
			fd.Close()
		}
	}()
	for _, name := range []string{"work", "work", "incompat", "volatile"} {
		fd, err := at.Step(name)
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return err
		}
		open = append(open, fd)
		at = fd
	}
	if !m.o.Volatile {
		if err := unix.Syncfs(int(at)); err != nil {
			return err
		}
	}
	for i, name := range []string{"dirty", "volatile", "incompat"} {
		flags := unix.AT_REMOVEDIR
		if i == 0 {
			flags = 0
		}
		if err := open[3-i].Unlink(name, flags); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return nil
}

// makeUpper makes the two directories. upper appears only when it is complete.
func (m *mount) makeUpper(dir sys.FD, r root) error {
	if err := dir.Mkdir("work", 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	var st unix.Stat_t
	if err := dir.Lstat("upper", &st); !errors.Is(err, unix.ENOENT) {
		return err
	}
	if err := dir.Mkdir("upper.new", 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	fd, err := dir.Step("upper.new")
	if err != nil {
		return err
	}
	defer fd.Close()
	if err := r.set(fd); err != nil {
		return err
	}
	return unix.Renameat2(int(dir), "upper.new", int(dir), "upper", unix.RENAME_NOREPLACE)
}

// emptyLayer makes a layer that has nothing but a root: a tmpfs of its own, as the
// store is not written to for something to be looked at.
func (m *mount) emptyLayer(r root) (sys.FD, error) {
	n, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return 0, err
	}
	defer unix.Close(n)
	if err := unix.FsconfigSetString(n, "nr_inodes", "2"); err != nil {
		return 0, err
	}
	if err := unix.FsconfigCreate(n); err != nil {
		return 0, err
	}
	f, err := unix.Fsmount(n, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NODEV)
	mounted, err := m.keep(sys.FD(f), err)
	if err != nil {
		return 0, err
	}
	m.detached = append(m.detached, mounted)
	fd, err := m.keep(mounted.Open(".", unix.O_RDONLY|unix.O_DIRECTORY, 0))
	if err != nil {
		return 0, err
	}
	r.xattrs = nil // tmpfs keeps none for users before 6.6
	if m.o.Users != nil {
		r.shift(m.o.Base) // tmpfs cannot be id-mapped before 6.3
	}
	m.empty = fd
	return fd, r.set(fd)
}
