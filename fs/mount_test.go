package fs_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hull/fs"
	"hull/fs/fstest"
	"hull/fs/journal"
	"hull/tests/need"

	"golang.org/x/sys/unix"
)

// mounted is a tree over a fake backend, on a real mount.
type mounted struct {
	*fstest.Fake
	t    *testing.T
	tree *fs.Tree
	dir  string
}

// privileged skips a test that needs root and FUSE, or fails it where CI promises both.
func privileged(t *testing.T) {
	t.Helper()
	need.Mount(t)
}

func mount(t *testing.T, refs ...string) *mounted { return mountWith(t, func(*fs.Options) {}, refs...) }

func mountWith(t *testing.T, change func(*fs.Options), refs ...string) *mounted {
	t.Helper()
	privileged(t)
	m := &mounted{Fake: fstest.New(refs...), t: t, dir: t.TempDir()}
	os.Chmod(m.dir, 0o755)
	j, err := journal.Open(t.TempDir(), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := fs.Options{
		Images: m.Images(), Containers: m.Containers(), Registries: m.Registries(), Layers: m.Layers(), Volumes: m.Volumes(), Networks: m.Networks(), Roots: m.Roots(), Host: m.Fake, Journal: j,
		Binary: "/usr/bin/hull", Group: -1, Budget: 500 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(testWriter{t}, nil)),
	}
	m.Root("", t.TempDir())
	change(&o)
	m.tree, err = fs.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	m.Destroyed = m.tree.Destroyed
	mnt, err := m.tree.Mount(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	settle(t, m.dir)
	t.Cleanup(func() {
		if err := mnt.Unmount(false); err != nil {
			t.Error(err)
			mnt.Unmount(true)
		}
		mnt.Wait()
		m.tree.Close()
		j.Close()
	})
	return m
}

// settle lets the kernel learn that files cannot be polled. Go's runtime polls what it opens while it holds the thread
// that would have to answer, so a test which shares its process with the tree could wait for itself.
func settle(t *testing.T, dir string) {
	t.Helper()
	fd, err := unix.Open(dir+"/README", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0); err != nil {
		t.Fatal(err)
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// shell makes a shell that runs a script in the mount. It goes there by itself: with Cmd.Dir the child would, before its
// exec, for which Go's runtime waits with a thread that the tree may need to answer.
func (m *mounted) shell(ctx context.Context, script string) *exec.Cmd {
	c := exec.CommandContext(ctx, "bash", "-c", `cd "$0" && eval "$1"`, m.dir, script)
	c.Env = append(os.Environ(), "LC_ALL=C")
	c.WaitDelay = time.Second
	return c
}

// run runs a script in the mount and returns its output, both streams, and exit status.
func (m *mounted) run(script string) (string, int) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	c := m.shell(ctx, script)
	b, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.t.Fatalf("%s: %v\n%s", script, err, b)
	}
	return string(b), c.ProcessState.ExitCode()
}

// want runs a script that must succeed with that output.
func (m *mounted) want(script, output string) {
	m.t.Helper()
	if got, code := m.run(script); code != 0 || got != output {
		m.t.Errorf("%s\nexit status %d, output %q, want %q", script, code, got, output)
	}
}

// ok runs a script that must succeed.
func (m *mounted) ok(script string) string {
	m.t.Helper()
	got, code := m.run(script)
	if code != 0 {
		m.t.Errorf("%s\nexit status %d: %s", script, code, got)
	}
	return got
}

// until runs a script again until it prints that.
func (m *mounted) until(script, output string) {
	m.t.Helper()
	got := ""
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if got, _ = m.run(script); got == output {
			return
		}
	}
	m.t.Errorf("%s\nprints %q, want %q", script, got, output)
}

func (m *mounted) path(name string) string { return filepath.Join(m.dir, name) }

// errno checks a call's errno.
func errno(t *testing.T, what string, err error, want syscall.Errno) {
	t.Helper()
	if want == 0 && err == nil {
		return
	}
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// put is what echo TEXT > FILE does: one open, one write.
func (m *mounted) put(name, text string) error {
	f, err := os.OpenFile(m.path(name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}

func (m *mounted) read(name string) string {
	m.t.Helper()
	b, err := os.ReadFile(m.path(name))
	if err != nil {
		m.t.Error(err)
	}
	return string(b)
}

func TestSession(t *testing.T) {
	m := mount(t, "redis:7", "ubuntu:latest")
	m.want("ls", "README\ncontainers\ncontainers.json\ncontainers.txt\ndf\nerror\nevents\nimages\nimages.json\nimages.txt\ninfo\nlayers\nload\nnetworks\nprune\npull\nregistries\nrootfs\nrun\nrunning.txt\nversion\nvolumes\n")
	m.ok("mkdir images/redis:7")
	m.want("ls images; cat images/redis:7/status", "redis:7\nready\n")
	m.want("mkdir images/redis:7/containers/web && cat containers/web/status && ls -l images/redis:7/containers | grep -o 'web ->.*'", "running\nweb -> ../../../containers/web\n")
	m.want("ls containers/web/config", "command\nentrypoint\nenv\nhostname\nimage\njson\npending\nstdin\ntty\nuser\nworkdir\n")
	m.want("ls containers/web/exec", "cat\nls\nsh\ntrue\n")
	m.want("head -1 containers/web/exec/sh run images/redis:7/wait -q", strings.Repeat("#!/usr/bin/hull verb\n", 3))
	m.Write("web", "stdout", "hello\n")
	m.want("cat containers/web/logs; stat -c %s containers/web/logs", "hello\n6\n")
	if out, code := m.run("rmdir containers/web"); code == 0 || !strings.Contains(out, "busy") {
		t.Errorf("rmdir of a running container: %d %s", code, out)
	}
	m.want("cat error containers/web/error containers/error", strings.Repeat("The container web is running: stop it first.\n", 3))
	m.ok("echo stop > containers/web/ctl")
	m.want("cat containers/web/status containers/web/exit containers/web/error", "exited\n143\n")
	m.ok("rmdir containers/web")
	m.want("ls containers", "")
	m.ok("rmdir images/redis:7")
	m.want("ls images", "")
}

func TestUnlistedEverywhere(t *testing.T) {
	m := mount(t, "redis:7")
	m.ok("mkdir images/redis:7 images/redis:7/containers/web")
	for _, dir := range []string{".", "images", "images/redis:7", "images/redis:7/containers", "containers", "containers/web", "containers/web/config", "containers/web/exec", "rootfs", "rootfs/images"} {
		for _, name := range []string{".git", ".Trash-1000", ".hidden"} {
			if _, err := os.Lstat(m.path(dir + "/" + name)); !errors.Is(err, syscall.ENOENT) {
				t.Errorf("lstat %s/%s: %v", dir, name, err)
			}
			errno(t, "mkdir "+dir+"/"+name, syscall.Mkdir(m.path(dir+"/"+name), 0o755), syscall.EPERM)
		}
		es, err := os.ReadDir(m.path(dir))
		if err != nil {
			t.Error(err)
		}
		for _, e := range es {
			if _, err := os.Lstat(m.path(dir + "/" + e.Name())); err != nil {
				t.Errorf("%s lists %s, which does not exist: %v", dir, e.Name(), err)
			}
		}
	}
}

func TestSizesAreTrue(t *testing.T) {
	m := mount(t, "redis:7")
	m.ok("mkdir images/redis:7 images/redis:7/containers/web")
	m.Write("web", "stdout", "one\ntwo\n")
	err := filepath.WalkDir(m.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.Type().IsRegular() {
			if d.Type()&os.ModeSymlink != 0 {
				st, _ := os.Lstat(path)
				if l, _ := os.Readlink(path); st.Size() != int64(len(l)) {
					t.Errorf("%s: size %d, target %q", path, st.Size(), l)
				}
			}
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		st, err := f.Stat()
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(f); err != nil {
			return err
		}
		if int64(b.Len()) != st.Size() {
			t.Errorf("%s: size %d, content %d", path, st.Size(), b.Len())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
