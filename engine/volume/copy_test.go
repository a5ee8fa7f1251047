package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func itoa(n int) string { return strconv.Itoa(n) }

func copied(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "to")
	check(t, os.Mkdir(to, 0o700))
	check(t, copyInto(t.Context(), from, to))
	return to
}

func copyInto(ctx context.Context, from, to string) error {
	a, err := os.Open(from)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := os.Open(to)
	if err != nil {
		return err
	}
	defer b.Close()
	return copyTree(ctx, a, b)
}

func TestCopy(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it gives files away")
	}
	from := filepath.Join(t.TempDir(), "from")
	check(t, os.MkdirAll(filepath.Join(from, "a/b"), 0o755))
	write := func(name, content string) string {
		path := filepath.Join(from, name)
		check(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	file := write("file", "content")
	check(t, os.Link(file, filepath.Join(from, "a/b/hard")))
	check(t, unix.Setxattr(file, "user.note", []byte("kept"), 0))
	check(t, unix.Setxattr(file, "trusted.overlay.opaque", []byte("y"), 0))
	setuid := write("a/setuid", "#!/bin/sh\n")
	check(t, os.Chown(setuid, 1000, 65535))
	check(t, os.Chmod(setuid, 0o755|os.ModeSetuid))
	capability := []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} // cap_net_bind_service, version 2
	check(t, unix.Setxattr(write("capable", "x"), "security.capability", capability, 0))
	check(t, os.Symlink("/etc/passwd", filepath.Join(from, "link")))
	check(t, os.Lchown(filepath.Join(from, "link"), 5, 6))
	check(t, unix.Mkfifo(filepath.Join(from, "fifo"), 0o622))
	check(t, os.Chmod(filepath.Join(from, "fifo"), 0o622))
	check(t, unix.Mknod(filepath.Join(from, "socket"), unix.S_IFSOCK|0o600, 0))
	check(t, unix.Mknod(filepath.Join(from, "device"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	holes, err := os.Create(filepath.Join(from, "holes"))
	check(t, err)
	_, err = holes.WriteAt([]byte("data"), 10<<20)
	check(t, errors.Join(err, holes.Truncate(100<<20), holes.Close()))
	check(t, os.Chmod(filepath.Join(from, "a/b"), 0o711))
	check(t, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(from, "a/b"), []unix.Timespec{{Sec: 1}, {Sec: 2, Nsec: 3}}, 0))
	check(t, os.Chown(from, 7, 8))
	check(t, os.Chmod(from, 0o770|os.ModeSticky))

	to := copied(t, from)
	for _, name := range []string{".", "file", "a", "a/b", "a/b/hard", "a/setuid", "capable", "link", "fifo", "socket", "holes"} {
		want, got := looks(t, filepath.Join(from, name)), looks(t, filepath.Join(to, name))
		if want != got {
			t.Errorf("%s:\n %s\n %s", name, want, got)
		}
	}
	if exists(filepath.Join(to, "device")) {
		t.Error("a device was copied")
	}
	if n, err := unix.Getxattr(filepath.Join(to, "file"), "trusted.overlay.opaque", nil); err == nil {
		t.Errorf("overlay's mark was copied (%d)", n)
	}
	var st unix.Stat_t
	check(t, unix.Stat(filepath.Join(to, "holes"), &st))
	if st.Blocks*512 > 20<<20 {
		t.Errorf("the holes are filled: %d blocks", st.Blocks)
	}
	a, err := os.ReadFile(filepath.Join(from, "holes"))
	check(t, err)
	b, err := os.ReadFile(filepath.Join(to, "holes"))
	check(t, err)
	if !bytes.Equal(a, b) {
		t.Error("the content of a file with holes differs")
	}
}

// looks is all that is to be the same in a copy.
func looks(t *testing.T, path string) string {
	t.Helper()
	var st unix.Stat_t
	check(t, unix.Lstat(path, &st))
	nlink := st.Nlink
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		nlink, st.Size = 0, 0
	}
	s := fmt.Sprintf("mode %o owner %d:%d size %d mtime %v links %d", st.Mode, st.Uid, st.Gid, st.Size, st.Mtim, nlink)
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		for _, name := range []string{"user.note", "security.capability"} {
			b := make([]byte, 100)
			if n, err := unix.Getxattr(path, name, b); err == nil {
				s += fmt.Sprintf(" %s=%x", name, b[:n])
			}
		}
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		target, err := os.Readlink(path)
		check(t, err)
		s += " to " + target
	}
	return s
}

// A deep tree costs no descriptors; one that is deeper than a path can say is an error and no crash.
func TestCopyDeep(t *testing.T) {
	from := t.TempDir()
	deep := strings.TrimSuffix(strings.Repeat("d/", 300), "/")
	check(t, os.MkdirAll(filepath.Join(from, deep), 0o755))
	to := copied(t, from)
	if !exists(filepath.Join(to, deep)) {
		t.Error("the deepest directory is missing")
	}
	at, err := unix.Open(from, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	check(t, err)
	name := strings.Repeat("n", 250)
	for range 20 {
		check(t, unix.Mkdirat(at, name, 0o755))
		next, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		check(t, errors.Join(err, unix.Close(at)))
		at = next
	}
	check(t, unix.Close(at))
	into := filepath.Join(t.TempDir(), "to")
	check(t, os.Mkdir(into, 0o700))
	if err := copyInto(t.Context(), from, into); !errors.Is(err, unix.ENAMETOOLONG) {
		t.Errorf("a path that is too long: %v", err)
	}
}
