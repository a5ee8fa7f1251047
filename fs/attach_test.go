package fs_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"hull/fs"
	"hull/fs/fstest"

	"golang.org/x/sys/unix"
)

// tree makes a tree that is not mounted.
func tree(t *testing.T) *fs.Tree {
	t.Helper()
	f := fstest.New()
	tr, err := fs.New(t.Context(), fs.Options{Images: f.Images(), Containers: f.Containers(), Registries: f.Registries(), Layers: f.Layers(), Volumes: f.Volumes(), Networks: f.Networks(), Roots: f.Roots(), Host: f, Group: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	return tr
}

func TestASecondMountIsRefused(t *testing.T) {
	m := mount(t)
	_, err := tree(t).Mount(m.dir)
	errno(t, "a mount over a live one", fs.Errno(err), syscall.EBUSY)
	if s := fs.Sentence(err); !strings.Contains(s, "hull umount "+m.dir) {
		t.Error(s)
	}
	link := t.TempDir() + "/link"
	os.Symlink(m.dir, link)
	_, err = tree(t).Mount(link)
	errno(t, "by a link", fs.Errno(err), syscall.EBUSY)
	_, err = tree(t).Mount(m.dir + "/nosuch")
	errno(t, "nowhere", fs.Errno(err), syscall.ENOENT)
	file := t.TempDir() + "/file"
	os.WriteFile(file, nil, 0o644)
	_, err = tree(t).Mount(file)
	errno(t, "on a file", fs.Errno(err), syscall.EINVAL)
}

func TestUnmountOfABusyMount(t *testing.T) {
	privileged(t)
	dir := t.TempDir()
	mnt, err := tree(t).Mount(dir)
	if err != nil {
		t.Fatal(err)
	}
	settle(t, dir)
	c := exec.Command("sh", "-c", `cd "$0" && exec sleep 1000`, dir)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the program's directory", func() bool {
		cwd, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", c.Process.Pid))
		return cwd == dir
	})
	errno(t, "unmount", fs.Errno(mnt.Unmount(false)), syscall.EBUSY)
	c.Process.Kill()
	c.Wait()
	if err := mnt.Unmount(false); err != nil {
		t.Error(err)
	}
	mnt.Wait()
	if _, err := os.Stat(dir + "/README"); !os.IsNotExist(err) {
		t.Errorf("the mount is there: %v", err)
	}
}

// TestDeadMount is a daemon that dies without unmounting: the next goes in its place, and nobody sees the bare
// directory in between.
func TestDeadMount(t *testing.T) {
	privileged(t)
	dir := t.TempDir()
	if os.Getenv("HULL_FS_TEST_MOUNT") != "" { // the daemon that dies
		if _, err := tree(t).Mount(os.Getenv("HULL_FS_TEST_MOUNT")); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("mounted\n")
		select {}
	}
	c := exec.Command(os.Args[0], "-test.run", "^TestDeadMount$")
	c.Env = append(os.Environ(), "HULL_FS_TEST_MOUNT="+dir)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "mounted\n" {
		t.Fatal(line, err)
	}
	c.Process.Signal(syscall.SIGSTOP)
	await(t, "the daemon's threads stop", func() bool {
		states, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", c.Process.Pid))
		for _, s := range states {
			if b, err := os.ReadFile(s); err == nil && !strings.Contains(string(b), "T (stopped)") {
				return false
			}
		}
		return len(states) > 0
	})
	_, err = tree(t).Mount(dir)
	if fs.KindOf(err) != fs.Busy || !strings.Contains(fs.Sentence(err), "does not answer") {
		t.Errorf("a mount over one that hangs: %v", err)
	}
	c.Process.Kill()
	c.Wait()
	var st unix.Stat_t
	errno(t, "stat of a dead mount", unix.Stat(dir, &st), syscall.ENOTCONN)
	mnt, err := tree(t).Mount(dir)
	if err != nil {
		t.Fatal(err)
	}
	settle(t, dir)
	if _, err := os.Stat(dir + "/README"); err != nil {
		t.Error(err)
	}
	if err := mnt.Unmount(false); err != nil {
		t.Error(err)
	}
	if es, err := os.ReadDir(dir); err != nil || len(es) > 0 {
		t.Errorf("below the mount: %v %v", es, err)
	}
}

func TestTheGroupHasTheControls(t *testing.T) {
	m := mountWith(t, func(o *fs.Options) { o.Group = 4343 }, "redis:7")
	open(t, m)
	for _, script := range []string{
		"mkdir images/redis:7", "mkdir images/redis:7/containers/web", "cat containers/web/logs events", "echo A=1 > containers/web/config/env",
		"echo stop > containers/web/ctl", "mv containers/web containers/www", "ln -s images/redis:7 images/x:1", "test -x run -a -w run -a -r run",
	} {
		if out, code := m.as(4242, 4343, script); code != 0 {
			t.Errorf("%s as a member: %s", script, out)
		}
		if _, code := m.as(4245, 4244, script); code == 0 {
			t.Errorf("%s as no member succeeds", script)
		}
	}
	m.want("stat -c %g:%a containers/www/ctl containers containers/www/status", "4343:660\n4343:775\n4343:644\n")
}

func TestMay(t *testing.T) {
	m := web(t)
	root, alice := fs.Credential{}, fs.Credential{UID: 4242, GID: 4242}
	for _, c := range []struct {
		by   fs.Credential
		path string
		op   fs.Operation
		want syscall.Errno
	}{
		{root, "containers", fs.Change, 0},
		{root, "containers/web/exec/sh", fs.Session, 0},
		{alice, "containers", fs.Change, syscall.EACCES},
		{alice, "containers/web/exec/sh", fs.Session, syscall.EACCES},
		{alice, "containers/web/exec/sh", fs.Read, 0},
		{alice, "containers/web/ctl", fs.Write, syscall.EACCES},
		{alice, "images/redis:7/id", fs.Read, 0},
		{fs.Credential{UID: 4242, GID: 4242, Groups: []uint32{0}}, "containers/web/logs", fs.Read, 0},
		{root, "containers/nosuch", fs.Read, syscall.ENOENT},
	} {
		if got := fs.Errno(m.tree.May(c.by, c.path, c.op)); got != c.want {
			t.Errorf("May(%v, %s, %d) is %v, want %v", c.by.UID, c.path, c.op, got, c.want)
		}
	}
	m.tree.Failed(root, "run", "containers/web", &fs.Error{Kind: fs.Busy, Sentence: "It is busy."})
	m.want("cat error containers/web/error containers/error", strings.Repeat("It is busy.\n", 3))
	m.tree.Succeeded("containers/web")
	m.want("cat containers/web/error", "")
}

func TestEventsAreLinesOfJSON(t *testing.T) {
	m := web(t)
	open(t, m)
	m.run("mkdir images/nosuch:1")
	lines := strings.Split(strings.TrimSpace(m.read("events")), "\n")
	var e struct {
		Time, Type, Action, Object, Kind, Error string
		UID                                     *uint32
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &e); err != nil {
		t.Fatal(err)
	}
	if e.Type != "call" || e.Action != "mkdir" || e.Object != "images/nosuch:1" || e.Kind != "not found" || e.UID == nil || *e.UID != 0 || e.Error == "" {
		t.Errorf("%+v", e)
	}
}

func TestDocumentation(t *testing.T) {
	m := mount(t)
	readme := m.read("README")
	for _, want := range []string{"mkdir images/debian:12", "containers/", "ctl", "stop [SECONDS]", "sudo", "inspect.json", "containers as files"} {
		if !strings.Contains(readme, want) {
			t.Errorf("README does not say %q", want)
		}
	}
}
