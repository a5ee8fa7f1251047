package union

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
	"hull/tests/need"
)

const base = 1879048192 // first id of the test's range

func needRoot(t testing.TB) {
	t.Helper()
	need.Root(t, "it mounts")
}

// users is a user namespace with a range of 65536 ids.
func users(t testing.TB) *os.File {
	t.Helper()
	c := exec.Command("cat") // lives until its input is closed
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: base, Size: 65536}}
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids}
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatalf("making a user namespace: %v", err)
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", c.Process.Pid))
	in.Close()
	if waitErr := c.Wait(); waitErr != nil {
		t.Error(waitErr)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// layer makes a directory as the unpacker would have: "path/" is a directory,
// "-path" a whiteout, "path=content" a file.
func layer(t testing.TB, files ...string) *os.File {
	t.Helper()
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		path, body, isFile := strings.Cut(f, "=")
		gone, isGone := strings.CutPrefix(path, "-")
		var err error
		switch {
		case isGone:
			err = unix.Mknod(filepath.Join(root, gone), unix.S_IFCHR, 0)
		case isFile:
			err = os.WriteFile(filepath.Join(root, path), []byte(body), 0o644)
		default:
			err = os.Mkdir(filepath.Join(root, path), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return opened(t, root)
}

func opened(t testing.TB, path string) *os.File {
	t.Helper()
	f, err := sys.OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func setXattr(t testing.TB, f *os.File, path, name, value string) {
	t.Helper()
	if err := unix.Lsetxattr(filepath.Join(f.Name(), path), name, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

// mounted mounts what has to be mountable.
func mounted(t testing.TB, o Options) *os.File {
	t.Helper()
	f, err := Mount(o)
	if err != nil {
		t.Fatalf("Mount: %v", err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// at is a path in a detached mount.
func at(f *os.File, path string) string { return fmt.Sprintf("/proc/self/fd/%d/%s", f.Fd(), path) }

// tree lists all files of a mount with their content.
func tree(t testing.TB, f *os.File) string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(at(f, ""), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(at(f, ""), path)
		switch {
		case rel == ".":
		case d.IsDir():
			lines = append(lines, rel+"/")
		default:
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			lines = append(lines, rel+"="+string(b))
		}
		return nil
	})
	if err != nil {
		t.Errorf("listing the union: %v", err)
	}
	sort.Strings(lines)
	return strings.Join(lines, " ")
}

func wantTree(t testing.TB, f *os.File, want string) {
	t.Helper()
	if got := tree(t, f); got != want {
		t.Errorf("the union is %q, want %q", got, want)
	}
}

func stat(t testing.TB, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st
}
