// Package union puts the layers of an image together with the kernel's overlay
// file system.
//
// A union is a detached mount (fsopen … fsmount): it has no place in any mount
// table until somebody attaches it, and is gone when its descriptor is closed, so
// a killed daemon leaves nothing behind.
//
// For a container, layers and upper directory are presented through id-mapped
// clones of their own mounts: the disk holds the ids 0–65535 that the image has,
// the container sees them as its own, and one layer serves containers of any
// range. Overlay itself then has to be a user that the mapping knows when it makes
// files in upper and work, so the mount is made under the file system ids of the
// range's first id (see [asUser]).
//
// Nothing a container can do to its upper directory changes what overlay makes of
// it: overlay keeps its notes in trusted.* attributes, which only the host's own
// user namespace may write (so userxattr stays off), and the features that would
// make it believe more notes than it needs (metacopy, redirect_dir, index) are
// turned off whatever the module's defaults are.
package union

import (
	"errors"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
)

// MaxLayers is how many layers overlay takes (OVL_MAX_STACK).
const MaxLayers = 500

// Options say what is put together.
type Options struct {
	// Lowers are the unpacked layers, highest first. They may be open O_PATH.
	Lowers []*os.File
	// Tree and Names are another way to give them: by their relative paths in a
	// directory that holds them all. One mount of it is then id-mapped instead of
	// one for each layer, which saves a start some 70 µs a layer. Used if Lowers is
	// empty.
	Tree  *os.File
	Names []string
	// Upper is the directory that holds "upper" and "work"; they are made where
	// they are missing, with the root's owner, mode and attributes of the image.
	// nil makes a union that is only read.
	Upper *os.File
	// Users is the user namespace through which everything is presented; nil
	// presents it as it is on disk.
	Users *os.File
	// Base is the first id of the namespace's range, as whom overlay works on
	// upper and work. Used only with Users.
	Base uint32
	// ReadOnly makes the mount read-only, also with an Upper.
	ReadOnly bool
	// NoSuid makes set-user-ID bits and file capabilities mean nothing: for
	// looking at, not for running.
	NoSuid bool
	// Volatile leaves out all syncing of upper: only for what is thrown away.
	Volatile bool
	// Behind, if not nil, does what nobody needs to wait for: mounts that were only
	// needed on the way are closed, which takes a grace period of the kernel each.
	Behind func(func())
}

// Mount puts the layers together and returns the detached mount. Devices in the
// layers cannot be opened in it: a container's own are in its /dev. The options'
// files stay the caller's and may be closed afterwards. Errors are *[Error].
func Mount(o Options) (*os.File, error) {
	m := &mount{o: o, context: -1}
	if o.Behind != nil {
		defer o.Behind(m.close)
	} else {
		defer m.close()
	}
	err := m.prepare()
	if err == nil {
		err = m.assemble()
	}
	runtime.KeepAlive(o)
	if err != nil {
		return nil, err
	}
	return m.result.File("union"), nil
}

// mount is a union on its way.
type mount struct {
	o      Options
	lowers []sys.FD // as they are given to overlay
	tree   sys.FD   // o.Tree, id-mapped; 0 until it is needed
	upper  sys.FD
	work   sys.FD
	empty  sys.FD   // the layer of emptyLayer, if there is one
	open   []sys.FD // closed when the union exists: it keeps what it needs
	// detached are the mounts among them.
	detached []sys.FD
	context  int // of fsopen
	result   sys.FD
}

func (m *mount) close() {
	for _, fd := range m.open {
		fd.Close()
	}
	if m.context >= 0 {
		sys.FD(m.context).Close()
	}
}

// keep has fd closed at the end.
func (m *mount) keep(fd sys.FD, err error) (sys.FD, error) {
	if err == nil {
		m.open = append(m.open, fd)
	}
	return fd, err
}

// prepare opens everything that goes into the union.
func (m *mount) prepare() error {
	root, implied, err := m.openLayers()
	if err != nil {
		return err
	}
	if m.o.Upper != nil {
		return m.prepareUpper(root)
	}
	// Overlay wants two layers, and the root of the highest one to be the image's.
	if len(m.lowers) == 1 || implied && len(m.lowers) < MaxLayers {
		top, err := m.emptyLayer(root)
		if err != nil {
			return failed("making an empty layer", err)
		}
		m.lowers = append([]sys.FD{top}, m.lowers...)
	}
	return nil
}

// assemble makes the overlay mount, and learns how this kernel wants it.
func (m *mount) assemble() error {
	if needPlace.Load() {
		return m.createPlaced()
	}
	err := m.createDetached()
	if err == nil || !lacksPlace(err) {
		return err
	}
	if placed := m.createPlaced(); placed != nil {
		return err // the kernel says more about the newer way
	}
	needPlace.Store(true)
	return nil
}

func (m *mount) createDetached() error {
	if m.o.Upper != nil && m.o.Users != nil {
		return asUser(m.o.Base, m.create)
	}
	return m.create()
}

// create is the calls of the new mount interface. Overlay keeps the credentials
// it is created with, for all it does afterwards.
func (m *mount) create() error {
	n, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return failed("asking for overlay", err)
	}
	m.context = n
	if err := m.configure(); err != nil {
		return m.explain("setting up overlay", err)
	}
	if err := unix.FsconfigCreate(m.context); err != nil {
		return m.explain("creating the union", err)
	}
	attr := unix.MOUNT_ATTR_NODEV
	if m.o.ReadOnly || m.o.Upper == nil {
		attr |= unix.MOUNT_ATTR_RDONLY
	}
	if m.o.NoSuid {
		attr |= unix.MOUNT_ATTR_NOSUID
	}
	n, err = unix.Fsmount(m.context, unix.FSMOUNT_CLOEXEC, attr)
	if err != nil {
		return m.explain("mounting the union", err)
	}
	if attr&unix.MOUNT_ATTR_RDONLY == 0 {
		if err := m.writable(n); err != nil {
			sys.FD(n).Close()
			return m.explain("making the place where changes are prepared", err)
		}
	}
	m.result = sys.FD(n)
	return nil
}

// writable finds out whether overlay made a union for reading only, which it does
// without failing when it cannot make what it needs in work: on a full disk.
func (m *mount) writable(union int) error {
	var st, disk unix.Statfs_t
	if err := unix.Fstatfs(union, &st); err != nil || st.Flags&unix.ST_RDONLY == 0 {
		return err
	}
	if unix.Fstatfs(int(m.upper), &disk) == nil && disk.Flags&unix.ST_RDONLY == 0 && (disk.Bavail == 0 || disk.Ffree == 0) {
		return unix.ENOSPC
	}
	return unix.EROFS
}

func (m *mount) configure() error {
	for _, l := range m.lowers {
		if err := m.layer("lowerdir+", l); err != nil {
			return err
		}
	}
	if err := unix.FsconfigSetString(m.context, "source", "hull"); err != nil {
		return err
	}
	for _, s := range m.settings() {
		if err := unix.FsconfigSetString(m.context, s[0], s[1]); err != nil {
			return err
		}
	}
	if m.o.Upper == nil {
		return nil
	}
	if err := m.layer("upperdir", m.upper); err != nil {
		return err
	}
	if err := m.layer("workdir", m.work); err != nil {
		return err
	}
	if m.o.Volatile {
		return unix.FsconfigSetFlag(m.context, "volatile")
	}
	return nil
}

// settings turn off what would make overlay believe more of its notes than it needs.
func (m *mount) settings() [][2]string {
	all := [][2]string{{"redirect_dir", "nofollow"}, {"metacopy", "off"}}
	if m.o.Upper != nil {
		all = append(all, [2]string{"index", "off"}) // index is about upper
	}
	return all
}

// layer gives overlay a directory.
func (m *mount) layer(key string, fd sys.FD) error {
	return unix.FsconfigSetFd(m.context, key, int(fd))
}

// explain adds what the kernel said.
func (m *mount) explain(op string, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Op: op, Kind: kindOf(err), Err: err}
	}
	e.Log = readLog(m.context)
	return e
}
