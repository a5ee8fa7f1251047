package rootfs

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestOwners(t *testing.T) {
	for _, c := range []struct{ id, base, want uint32 }{
		{0, 0, 0},
		{4000000000, 0, 4000000000},
		{base, base, 0},
		{base + 1000, base, 1000},
		{base + 65535, base, 65535},
		{base + 65536, base, nobody},
		{base - 1, base, nobody},
		{0, base, nobody},
	} {
		if got := shown(c.id, c.base); got != c.want {
			t.Errorf("%d of the range at %d is shown as %d", c.id, c.base, got)
		}
	}
	if _, ok := outside(65536, base); ok {
		t.Error("an id beyond the range")
	}
	top, beneath, _ := writable(t)
	file := filepath.Join(top, "file")
	write(t, file, "x")
	check(t, os.Chown(file, 1000, 65535))
	var st unix.Stat_t
	check(t, unix.Stat(filepath.Join(beneath, "file"), &st))
	if st.Uid != base+1000 || st.Gid != base+65535 {
		t.Errorf("%d:%d", st.Uid, st.Gid)
	}
	if err := os.Chown(file, 65536, 0); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("an owner that the range has not: %v", err)
	}
	check(t, os.Chown(filepath.Join(beneath, "file"), 0, 0))
	eventually(t, "an owner outside the range", func() bool { return unix.Stat(file, &st) == nil && st.Uid == nobody })
}

func TestExtendedAttributes(t *testing.T) {
	top, beneath, _ := writable(t)
	file := filepath.Join(top, "file")
	write(t, file, "x")
	if err := unix.Setxattr(filepath.Join(beneath, "file"), "user.a", []byte("1"), 0); errors.Is(err, unix.ENOTSUP) {
		t.Skip("the file system of temporary files has no user attributes")
	}
	check(t, unix.Setxattr(filepath.Join(beneath, "file"), "trusted.b", []byte("2"), 0))
	check(t, unix.Setxattr(file, "user.c", []byte("value"), 0))
	buf := make([]byte, 100)
	n, err := unix.Getxattr(file, "user.c", buf)
	if err != nil || string(buf[:n]) != "value" {
		t.Errorf("%q, %v", buf[:max(n, 0)], err)
	}
	n, err = unix.Listxattr(file, buf)
	if err != nil || !bytes.Equal(buf[:n], []byte("user.a\x00user.c\x00")) {
		t.Errorf("%q, %v", buf[:max(n, 0)], err)
	}
	if n, err := unix.Listxattr(file, nil); err != nil || n != len("user.a\x00user.c\x00") {
		t.Error(n, err)
	}
	check(t, unix.Removexattr(file, "user.c"))
	if _, err := unix.Getxattr(file, "user.c", buf); !errors.Is(err, unix.ENODATA) {
		t.Error(err)
	}
	for _, name := range []string{"trusted.b", "security.selinux"} {
		if err := unix.Setxattr(file, name, []byte("x"), 0); !errors.Is(err, unix.ENOTSUP) {
			t.Errorf("setting %s: %v", name, err)
		}
	}
}

func TestSpecialFiles(t *testing.T) {
	top, _, _ := writable(t)
	check(t, unix.Mkfifo(filepath.Join(top, "fifo"), 0o600))
	check(t, unix.Mknod(filepath.Join(top, "socket"), unix.S_IFSOCK|0o600, 0))
	if err := unix.Mknod(filepath.Join(top, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); !errors.Is(err, unix.EPERM) {
		t.Errorf("a device: %v", err)
	}
}

func TestDeviceCannotBeOpened(t *testing.T) {
	top, beneath, _ := writable(t)
	check(t, unix.Mknod(filepath.Join(beneath, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	st, err := os.Lstat(filepath.Join(top, "null"))
	check(t, err)
	if st.Mode()&os.ModeCharDevice == 0 || st.Sys().(*syscall.Stat_t).Rdev != unix.Mkdev(1, 3) {
		t.Errorf("%v", st.Mode())
	}
	if f, err := os.Open(filepath.Join(top, "null")); !errors.Is(err, unix.EACCES) {
		t.Errorf("%v, %v", f, err)
	}
}

// An open file without a name is still a file.
func TestUnlinkedFile(t *testing.T) {
	top, _, _ := writable(t)
	f, err := os.Create(filepath.Join(top, "file"))
	check(t, err)
	defer f.Close()
	check(t, os.Remove(f.Name()))
	_, err = f.WriteString("content")
	check(t, errors.Join(err, f.Truncate(3)))
	st, err := f.Stat()
	check(t, err)
	if st.Size() != 3 {
		t.Errorf("size %d", st.Size())
	}
	b := make([]byte, 10)
	if n, _ := f.ReadAt(b, 0); string(b[:n]) != "con" {
		t.Errorf("%q", b[:n])
	}
}

func TestInodeNumbers(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	check(t, os.MkdirAll(filepath.Join(dir, "a"), 0o755))
	write(t, filepath.Join(dir, "a/file"), "x")
	check(t, os.Link(filepath.Join(dir, "a/file"), filepath.Join(dir, "other")))
	at, _ := mount(t, map[string]*lender{"one": {dir: dir}, "two": {dir: dir}})
	ino := func(path string) uint64 {
		var st unix.Stat_t
		check(t, unix.Lstat(filepath.Join(at, path), &st))
		return st.Ino
	}
	if ino("one/a/file") != ino("one/other") {
		t.Error("hard links have different numbers")
	}
	for _, path := range []string{"", "/a", "/other"} {
		if ino("one"+path) == ino("two"+path) {
			t.Errorf("two trees have the same number for %q", path)
		}
	}
	// What is listed is what is there.
	out := sh(t, filepath.Join(at, "one"), `ls -i a | while read -r i n; do test "$i" = "$(stat -c %i a/$n)" && echo same; done`)
	if out != "same\n" {
		t.Errorf("%q", out)
	}
}
