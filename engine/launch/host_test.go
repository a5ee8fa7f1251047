package launch

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOwnerMap(t *testing.T) {
	file := filepath.Join(t.TempDir(), "subuid")
	must(t, os.WriteFile(file, []byte(`root:1:2
ann:100000:10
# a comment
ann:x:5
bob:200000:65536
1000:300000:65536
ann:990:20
ann:400000:4294967295
`), 0o600))
	r := IDRange{First: 1 << 30, Size: 65536}
	for _, c := range []struct {
		uid  uint32
		name string
		id   uint32
		want string
	}{
		{1000, "ann", 1000, "1000 1073741824 1\n100000 1073741825 10\n300000 1073741835 65525\n"},
		{1000, "", 1000, "1000 1073741824 1\n300000 1073741825 65535\n"},
		{1001, "bob", 50, "50 1073741824 1\n200000 1073741825 65535\n"},
		{1002, "", 1002, "1002 1073741824 1\n"},
	} {
		if got := string(ownerMap(file, r, c.uid, c.name, c.id)); got != c.want {
			t.Errorf("%d %s:\n%swant\n%s", c.uid, c.name, got, c.want)
		}
	}
	if got := string(ownerMap("/nosuch", r, 7, "", 7)); got != "7 1073741824 1\n" {
		t.Error(got)
	}
}

// A path of the host is opened with a user's rights, whatever hull itself may.
func TestOpenHost(t *testing.T) {
	privileged(t)
	l := &Launcher{}
	t.Cleanup(func() { must(t, l.Close()) })
	top := t.TempDir()
	must(t, os.Chmod(filepath.Dir(top), 0o755))
	must(t, os.Chmod(top, 0o755))
	closed := filepath.Join(top, "closed")
	must(t, os.Mkdir(closed, 0o750))
	must(t, os.Chown(closed, 0, 4321))
	write(t, closed, "file", "x")
	must(t, os.Symlink(closed, filepath.Join(top, "link")))
	must(t, os.Symlink("/proc/self/root", filepath.Join(top, "magic")))
	for _, c := range []struct {
		path     string
		uid, gid uint32
		want     error
	}{
		{"closed/file", 0, 0, nil},
		{"link/file", 0, 0, nil},
		{"closed/file", 1234, 4321, nil},
		{"closed/file", 1234, 1234, unix.EACCES},
		{"link/file", 1234, 1234, unix.EACCES},
		{"nosuch", 1234, 1234, unix.ENOENT},
		{"magic", 0, 0, unix.ELOOP},
	} {
		f, err := l.OpenHost(within(t), HostPath{Path: filepath.Join(top, c.path), UID: c.uid, GID: c.gid})
		if !errors.Is(err, c.want) {
			t.Errorf("%s as %d:%d: %v, want %v", c.path, c.uid, c.gid, err, c.want)
		}
		if f != nil {
			must(t, f.Close())
		}
	}
}
