package session

import (
	"bufio"
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// usable tells whether a descriptor of a caller's may be used as it is. Pipes, sockets, regular files and
// /dev/null may: a directory would lead out of the container (as CVE-2024-21626 did), a device or a terminal would give
// it the host's. (The helper keeps sockets of the network from a container's process, too, and copies. Those that come here
// are read and written by the daemon; or a caller of another kind wants it so, and could as well relay what he likes.)
//
// Regular files of FUSE mounts must not, unless they come from root: closing one asks its server, so a caller could keep
// the daemon, and its end, waiting for ever. The helper copies those, as it does terminals.
func usable(f *os.File, uid uint32) error {
	fd, err := descriptor(f)
	if err != nil {
		return errors.New("cannot be used")
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || flags&unix.O_PATH != 0 {
		return errors.New("is not open for reading or writing")
	}
	var st unix.Statx_t
	// What is known without asking a server is enough: a file never changes its type.
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &st); err != nil {
		return errors.New("cannot be used: " + err.Error())
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO, unix.S_IFSOCK:
		return nil
	case unix.S_IFREG:
		if uid == 0 || st.Dev_major != 0 || local(st.Dev_minor) {
			return nil
		}
		return errors.New("is a file of a FUSE mount, or of one the daemon does not see; use a pipe: | cat > FILE")
	case unix.S_IFCHR:
		if st.Rdev_major == 1 && st.Rdev_minor == 3 {
			return nil
		}
		return errors.New("is a device; a container is not given devices in this way: use a pipe")
	case unix.S_IFDIR:
		return errors.New("is a directory")
	}
	return errors.New("is no pipe, socket or regular file")
}

// local tells whether the mount with device number 0:minor is of a kind that the kernel serves by itself.
func local(minor uint32) bool {
	f, err := os.Open("/proc/thread-self/mountinfo")
	if err != nil {
		return false
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 || fields[2] != "0:"+strconv.FormatUint(uint64(minor), 10) {
			continue
		}
		for i := 6; i+1 < len(fields); i++ {
			if fields[i] == "-" {
				kind := fields[i+1]
				return !strings.HasPrefix(kind, "fuse") && kind != "virtiofs"
			}
		}
	}
	return false
}

// descriptor gives a file's number without making it block.
func descriptor(f *os.File) (int, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	n := -1
	err = raw.Control(func(fd uintptr) { n = int(fd) })
	return n, err
}
