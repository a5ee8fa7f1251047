package sys

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func temp(t testing.TB) *os.File {
	t.Helper()
	f, err := OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func write(t testing.TB, dir *os.File, name, body string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir.Name(), name), []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
}

// nest makes directories in one another, deeper than any path can be.
func nest(t testing.TB, dir *os.File, depth int) {
	t.Helper()
	at, err := Of(dir).Open(".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range depth {
		err := at.Mkdir("d", 0o700)
		if err == nil {
			err = at.Mknod("file", unix.S_IFREG|0o600, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		next, err := at.Step("d")
		if err != nil {
			t.Fatal(err)
		}
		at.Close()
		at = next
	}
	at.Close()
}

func names(t testing.TB, dir *os.File) string {
	t.Helper()
	list, err := os.ReadDir(dir.Name())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range list {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func TestRemoveAll(t *testing.T) {
	ctx := context.Background()
	outside := temp(t)
	write(t, outside, "kept", "")
	for _, c := range []struct {
		name string
		make func(dir *os.File)
	}{
		{"nothing", func(*os.File) {}},
		{"a file", func(d *os.File) { write(t, d, "x", "") }},
		{"a link", func(d *os.File) { _ = os.Symlink(outside.Name(), d.Name()+"/x") }},
		{"links below", func(d *os.File) {
			_ = os.Mkdir(d.Name()+"/x", 0o700)
			_ = os.Symlink(outside.Name(), d.Name()+"/x/l")
			_ = os.Symlink("..", d.Name()+"/x/up")
		}},
		{"unreadable", func(d *os.File) { _ = os.MkdirAll(d.Name()+"/x/y/z", 0o700); _ = os.Chmod(d.Name()+"/x/y", 0o500) }},
		{"very deep", func(d *os.File) {
			_ = os.Mkdir(d.Name()+"/x", 0o700)
			_ = os.WriteFile(d.Name()+"/x/.deep.1", nil, 0o600) // a name that is also made on the way
			x, err := OpenRoot(d.Name() + "/x")
			if err != nil {
				t.Fatal(err)
			}
			defer x.Close()
			nest(t, x, 3000)
		}},
		{"very wide", func(d *os.File) {
			_ = os.Mkdir(d.Name()+"/x", 0o700)
			for i := range 3000 {
				write(t, d, fmt.Sprintf("x/%0100d", i), "")
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "unreadable" && os.Geteuid() != 0 {
				t.Skip("needs root: others cannot remove from a directory they may not write to")
			}
			dir := temp(t)
			write(t, dir, "kept", "")
			c.make(dir)
			if err := RemoveAll(ctx, dir, "x"); err != nil {
				t.Error(err)
			}
			if got := names(t, dir); got != "kept" {
				t.Errorf("left: %q", got)
			}
		})
	}
	if got := names(t, outside); got != "kept" {
		t.Errorf("outside there is %q left", got)
	}
}

func TestRemoveAllStops(t *testing.T) {
	dir := temp(t)
	if err := os.MkdirAll(dir.Name()+"/x/y", 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := RemoveAll(ctx, dir, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := RemoveContents(context.Background(), dir); err != nil || names(t, dir) != "" {
		t.Errorf("%v, left %q", err, names(t, dir))
	}
}

// TestStep: no name leads out of the directory it is opened in.
func TestStep(t *testing.T) {
	dir := temp(t)
	if err := errors.Join(os.MkdirAll(dir.Name()+"/a/b", 0o700), os.Symlink("/", dir.Name()+"/root"), os.Symlink("a", dir.Name()+"/link")); err != nil {
		t.Fatal(err)
	}
	if fd, err := Of(dir).Step("a/b"); err != nil {
		t.Error(err)
	} else {
		fd.Close()
	}
	for _, name := range []string{"link", "link/b", "root", "..", "/", "a/b/../../..", "a/c"} {
		if fd, err := Of(dir).Step(name); err == nil {
			fd.Close()
			t.Errorf("stepped to %q", name)
		}
	}
}

func TestRename(t *testing.T) {
	dir := temp(t)
	write(t, dir, "a", "a")
	write(t, dir, "b", "b")
	if err := Renameat2(dir, "a", dir, "b", unix.RENAME_NOREPLACE); !errors.Is(err, unix.EEXIST) {
		t.Errorf("over another: %v", err)
	}
	if err := Exchange(dir, "a", dir, "b"); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(dir.Name() + "/a"); err != nil || string(b) != "b" {
		t.Errorf("%q, %v", b, err)
	}
	if err := Syncfs(dir); err != nil {
		t.Error(err)
	}
}

// TestSpread: where the file system knows the flag it is set, and the others stay.
func TestSpread(t *testing.T) {
	dir := temp(t)
	read := func() (flags int) {
		if err := Using(dir, func(fd FD) (err error) {
			flags, err = unix.IoctlGetInt(int(fd), unix.FS_IOC_GETFLAGS)
			return err
		}); err != nil {
			t.Skip("the file system has no flags:", err)
		}
		return flags
	}
	before := read()
	for range 2 {
		if err := Spread(dir); err != nil {
			t.Skip("the file system does not know this flag:", err)
		}
		if got := read(); got != before|topDir {
			t.Fatalf("flags %x, want %x", got, before|topDir)
		}
	}
}
