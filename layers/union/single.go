package union

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
)

// Single is a detached read-only mount of one layer's directory below tree, as it
// is on the disk: whiteouts are seen, no device can be opened, and no program in it
// gets more rights than its caller has. Errors are *[Error].
func Single(tree *os.File, name string) (*os.File, error) {
	l, err := sys.Of(tree).Step(name)
	runtime.KeepAlive(tree)
	if err != nil {
		return nil, failed("opening a layer", err)
	}
	defer l.Close()
	n, err := unix.OpenTree(int(l), "", unix.AT_EMPTY_PATH|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, failed("cloning a layer's mount", err)
	}
	m := sys.FD(n)
	err = unix.MountSetattr(n, "", unix.AT_EMPTY_PATH, &unix.MountAttr{
		Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC,
	})
	if err != nil {
		m.Close()
		return nil, failed("making a layer's mount read-only", err)
	}
	return m.File("layer"), nil
}
