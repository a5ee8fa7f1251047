package fs

import (
	"cmp"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// maxWrite bounds one read or write request. Bigger ones would cost every reader of the device that much memory.
const maxWrite = 256 << 10

// handleKillPriv2 is FUSE_HANDLE_KILLPRIV_V2: the daemon clears set-user-ID itself, and the kernel need not ask for
// security.capability before each small write (11 times faster in rootfs).
const handleKillPriv2 = 1 << 28

// Mount is a tree that is mounted.
type Mount struct {
	Dir    string
	server *fuse.Server
	served sync.WaitGroup
}

// Mount mounts the tree on a directory and serves it. The mount is made detached, answers before it is attached, and
// goes beneath a dead one that a killed daemon has left, so that no mkdir ever lands in the bare directory.
func (t *Tree) Mount(dir string) (*Mount, error) {
	dir, err := filepath.Abs(dir)
	if err == nil {
		dir, err = resolve(dir)
	}
	if err != nil {
		return nil, &Error{Op: "mount", Kind: NotFound, Err: err, Sentence: fmt.Sprintf("There is no directory %s to mount on: make it first.", dir)}
	}
	dead, err := vacant(dir)
	if err != nil {
		return nil, err
	}
	m := &Mount{Dir: dir}
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &Error{Op: "mount", Kind: Unsupported, Err: err, Sentence: "Cannot open /dev/fuse: load the kernel's fuse module and be root."}
	}
	tree, err := detached(fd, cmp.Or(t.Source, "hull"))
	if err != nil {
		unix.Close(fd)
		return nil, &Error{Op: "mount", Kind: Unsupported, Err: err, Sentence: "The kernel refuses a FUSE mount: " + err.Error() + "."}
	}
	defer func() { unix.Close(tree) }()
	m.server, err = fuse.NewServer(t.filesystem(), "/dev/fd/"+strconv.Itoa(fd), &fuse.MountOptions{
		AllowOther:        true,
		FsName:            "hull",
		Name:              "hull",
		MaxWrite:          maxWrite,
		MaxStackDepth:     2,
		ExtraCapabilities: fuse.CAP_ATOMIC_O_TRUNC | fuse.CAP_READDIRPLUS_AUTO | handleKillPriv2,
		Logger:            log.New(logWriter{t}, "", 0),
	})
	if err != nil { // go-fuse has closed the device
		return nil, &Error{Op: "mount", Kind: System, Err: err, Sentence: "The kernel does not agree with hull about FUSE: " + err.Error() + "."}
	}
	m.served.Add(1)
	go func() {
		defer m.served.Done()
		m.server.Serve()
	}()
	if err := attach(tree, dir, dead); err != nil {
		unix.Close(tree) // the last reference: the kernel ends the connection and Serve returns
		tree = -1
		m.served.Wait()
		return nil, &Error{Op: "mount", Kind: System, Err: err, Sentence: fmt.Sprintf("Cannot mount on %s: %v.", dir, err)}
	}
	return m, nil
}

// Wait returns when the tree is not mounted any more, whoever unmounted it.
func (m *Mount) Wait() { m.served.Wait() }

// Unmount takes the mount away: Busy while somebody has a file or directory of it open, unless lazy, which leaves
// those to their users and takes the name away at once.
func (m *Mount) Unmount(lazy bool) error {
	flags := unix.UMOUNT_NOFOLLOW
	if lazy {
		flags |= unix.MNT_DETACH
	}
	err := unix.Unmount(m.Dir, flags)
	switch {
	case errors.Is(err, unix.EBUSY):
		return &Error{Op: "umount", Kind: Busy, Err: err, Sentence: fmt.Sprintf("%s is in use: a program has a file or its working directory there.", m.Dir)}
	case errors.Is(err, unix.EINVAL): // somebody else has done it, and may still use what is open
		return nil
	case err != nil:
		return &Error{Op: "umount", Kind: System, Err: err, Sentence: fmt.Sprintf("Cannot unmount %s: %v.", m.Dir, err)}
	}
	if !lazy {
		m.served.Wait()
	}
	return nil
}

// detached makes a FUSE mount that is nowhere yet. Its device is fd, and source is what the mount table shows for it.
func detached(fd int, source string) (int, error) {
	config, err := unix.Fsopen("fuse", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen: %w", err)
	}
	defer unix.Close(config)
	for _, o := range [][2]string{
		{"source", source},
		{"subtype", "hull"},
		{"fd", strconv.Itoa(fd)},
		{"rootmode", "40000"},
		{"user_id", strconv.Itoa(os.Geteuid())},
		{"group_id", strconv.Itoa(os.Getegid())},
		{"max_read", strconv.Itoa(maxWrite)},
	} {
		if err := unix.FsconfigSetString(config, o[0], o[1]); err != nil {
			return -1, fmt.Errorf("fsconfig %s: %w", o[0], err)
		}
	}
	for _, o := range []string{"allow_other", "default_permissions"} {
		if err := unix.FsconfigSetFlag(config, o); err != nil {
			return -1, fmt.Errorf("fsconfig %s: %w", o, err)
		}
	}
	if err := unix.FsconfigCreate(config); err != nil {
		return -1, fmt.Errorf("fsconfig create: %w", err)
	}
	tree, err := unix.Fsmount(config, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return -1, fmt.Errorf("fsmount: %w", err)
	}
	return tree, nil
}

// moveMountBeneath is MOVE_MOUNT_BENEATH (Linux 6.5): the mount goes below the one that is on top of the directory.
const moveMountBeneath = 0x200

// attach gives a detached mount its place. Over a dead mount it goes beneath first and the dead one is then taken
// away, so that there is no instant at which the bare directory is seen.
func attach(tree int, dir string, dead bool) error {
	move := func(flags int) error {
		return unix.MoveMount(tree, "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH|flags)
	}
	if !dead {
		return move(0)
	}
	err := move(moveMountBeneath)
	if errors.Is(err, unix.EINVAL) { // an older kernel, or a place with shared propagation that forbids it
		if err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return err
		}
		return move(0)
	}
	if err != nil {
		return err
	}
	return unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
}

// resolve follows links in a directory's path without asking whoever serves the directory, who may be dead.
func resolve(dir string) (string, error) {
	if dir == "/" {
		return dir, nil
	}
	if target, err := os.Readlink(dir); err == nil {
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(dir), target)
		}
		return filepath.EvalSymlinks(target)
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(dir))
	if err != nil {
		return dir, err
	}
	dir = filepath.Join(parent, filepath.Base(dir))
	var st unix.Statx_t
	return dir, unix.Statx(unix.AT_FDCWD, dir, unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &st)
}

// vacant tells whether hull may mount on a directory, and whether a dead mount of hull's is there.
func vacant(dir string) (dead bool, err error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, dir, unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &st); err != nil {
		return false, &Error{Op: "mount", Kind: System, Err: err, Sentence: fmt.Sprintf("Cannot look at %s: %v.", dir, err)}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return false, &Error{Op: "mount", Kind: Invalid, Sentence: fmt.Sprintf("%s is not a directory.", dir)}
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false, &Error{Op: "mount", Kind: System, Err: err}
	}
	if topType(string(table), dir) != "fuse.hull" {
		return false, nil
	}
	switch err := answers(dir); {
	case errors.Is(err, unix.ENOTCONN):
		return true, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return false, &Error{Op: "mount", Kind: Busy, Sentence: fmt.Sprintf("A hull is mounted on %s and does not answer: end it, or choose another directory.", dir)}
	}
	return false, &Error{Op: "mount", Kind: Busy, Sentence: fmt.Sprintf("A hull is mounted on %s and answers: unmount it first with hull umount %s.", dir, dir)}
}

// patience is how long a hull that is mounted already may take to answer.
const patience = 2 * time.Second

// answers asks whoever serves a mount for a sign of life. If none comes, the thread that asks stays until one does, or
// the process ends, which it is about to: the kernel offers no way to ask with a limit.
func answers(dir string) error {
	answer := make(chan error, 1)
	go func() {
		var st unix.Statfs_t
		answer <- unix.Statfs(dir, &st)
	}()
	select {
	case err := <-answer:
		return err
	case <-time.After(patience):
		return os.ErrDeadlineExceeded
	}
}

// topType returns the type of the uppermost file system mounted on a directory; empty if there is none.
func topType(mountinfo, dir string) string {
	escaped := strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`).Replace(dir)
	found := ""
	for _, line := range strings.Split(mountinfo, "\n") {
		fields := strings.Fields(line)
		if len(fields) < 7 || fields[4] != escaped {
			continue
		}
		if _, tail, ok := strings.Cut(line, " - "); ok {
			found, _, _ = strings.Cut(tail, " ")
		}
	}
	return found
}

// logWriter gives go-fuse's messages to the tree's logger.
type logWriter struct{ t *Tree }

func (w logWriter) Write(b []byte) (int, error) {
	w.t.Logger.Warn("fuse", "err", strings.TrimSpace(string(b)))
	return len(b), nil
}
