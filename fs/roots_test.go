package fs_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"hull/fs"
)

func TestOtherPeoplesFiles(t *testing.T) {
	m := web(t)
	open(t, m)
	dir := t.TempDir()
	os.Chmod(dir, 0o755)
	os.WriteFile(dir+"/env", []byte("A=1\n"), 0o644)
	os.Symlink("/etc/passwd", dir+"/abs")
	id := strings.TrimSpace(m.read("containers/web/id"))
	m.Root(id, dir)
	m.want("cat containers/web/rootfs/env; readlink containers/web/rootfs/abs", "A=1\netc/passwd\n")
	m.want("cp containers/web/rootfs/env containers/web/config/env && cat containers/web/config/env", "A=1\n")
	m.ok("echo B=2 > containers/web/rootfs/new && cp containers/web/logs containers/web/rootfs/logs")
	if b, _ := os.ReadFile(dir + "/new"); string(b) != "B=2\n" {
		t.Errorf("written through the tree: %q", b)
	}
	m.want("stat -Lc %a:%u containers/web/rootfs rootfs/containers/web", "700:0\n700:0\n")
	m.want("ls rootfs rootfs/containers; ls rootfs/images | wc -l | tr -d ' '", "rootfs:\ncontainers\nimages\nlayers\nvolumes\n\nrootfs/containers:\nweb\n1\n")
	for _, to := range []string{"containers/new", "new", "images/new:1"} {
		if err := os.Rename(m.path("containers/web/rootfs/new"), m.path(to)); err == nil {
			t.Errorf("a container's file can be moved to %s", to)
		}
	}
	errno(t, "a link out", os.Link(m.path("containers/web/rootfs/new"), m.path("containers/web/config/new.x")), syscall.EPERM)
	errno(t, "mv into it", os.Rename(m.path("containers/web"), m.path("containers/web/rootfs/web")), syscall.EPERM)
	errno(t, "mv of a setting into it", os.Rename(m.path("containers/web/config/env"), m.path("containers/web/rootfs/x")), syscall.EPERM)
	if out, code := m.as(4242, 4242, "ls containers/web/rootfs/"); code == 0 {
		t.Errorf("a stranger sees %s", out)
	}
	f, err := os.Open(m.path("containers/web/rootfs"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m.ok("mv containers/web containers/www && cat containers/www/rootfs/env && echo kill > containers/www/ctl && rm -r containers/www")
	if _, err := os.Stat(dir + "/env"); err != nil {
		t.Errorf("rm -r walked into the container's files: %v", err)
	}
	m.want("ls rootfs/containers", "")
}

// TestGone is the backend's word that an object is no more: its tree is let go at once, and nobody else's is.
func TestGone(t *testing.T) {
	m := mountWith(t, func(o *fs.Options) { o.ViewIdle = time.Hour }, "redis:7", "nginx:1")
	m.ok("mkdir images/redis:7 images/nginx:1 images/redis:7/containers/web images/redis:7/containers/other")
	dir := t.TempDir()
	os.WriteFile(dir+"/file", []byte("x\n"), 0o644)
	m.Root("", dir)
	id := map[string]string{}
	for _, o := range []string{"containers/web", "containers/other", "images/redis:7", "images/nginx:1"} {
		id[o] = strings.TrimSpace(m.read(o + "/id"))
		m.want("cat "+o+"/rootfs/file", "x\n")
	}
	if n := m.Lent(); n != 4 {
		t.Fatalf("%d file systems are lent", n)
	}
	m.tree.Gone("containers/" + id["containers/web"])
	m.tree.Gone("containers/nobody")
	if n := m.Lent(); n != 4 {
		t.Errorf("what lives is taken away: %d are lent", n)
	}
	m.ok("echo 'remove force' > containers/web/ctl && rmdir images/nginx:1")
	for i, o := range []string{"containers/" + id["containers/web"], "images/" + id["images/nginx:1"]} {
		m.tree.Gone(o)
		await(t, o+" to be let go", func() bool { return m.Lent() == 3-i })
	}
	m.want("cat containers/other/rootfs/file images/redis:7/rootfs/file", "x\nx\n")
}

// TestOtherPeoplesFilesAreForgotten walks through a tree and has the kernel forget it, but for what is in use.
func TestOtherPeoplesFilesAreForgotten(t *testing.T) {
	m := web(t)
	dir := t.TempDir()
	os.Chmod(dir, 0o755)
	for i := range 50 {
		os.MkdirAll(fmt.Sprintf("%s/dir%d/sub", dir, i), 0o755)
		os.WriteFile(fmt.Sprintf("%s/dir%d/sub/file", dir, i), []byte("x\n"), 0o644)
	}
	m.Root(strings.TrimSpace(m.read("containers/web/id")), dir)
	m.want("find containers/web/rootfs/ -name file -size -10k | wc -l | tr -d ' '", "50\n")
	if n := m.tree.Nodes(); n < 150 {
		t.Errorf("%d nodes after a walk", n)
	}
	f, err := os.Open(m.path("containers/web/rootfs/dir7/sub/file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if errno := m.tree.Trim(); errno != 0 {
		t.Skipf("this kernel does not forget when it is asked to (6.18 does): %v", errno)
	}
	await(t, "nodes", func() bool { return m.tree.Nodes() < 50 })
	b := make([]byte, 10)
	if n, err := f.Read(b); err != nil || string(b[:n]) != "x\n" {
		t.Errorf("an open file after it: %q, %v", b[:n], err)
	}
	m.want("cat containers/web/rootfs/dir49/sub/file", "x\n")
}
