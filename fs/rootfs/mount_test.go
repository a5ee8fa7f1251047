package rootfs

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"hull/tests/need"
)

// base is the first id of the range that the trees of these tests belong to.
const base = 1879048192

// needRoot skips a test that needs root and FUSE, or fails it where they must be there.
func needRoot(t *testing.T) {
	t.Helper()
	need.Mount(t)
}

// lender is a Source that lends a directory and counts.
type lender struct {
	dir      string
	base     uint32
	readOnly bool
	asked    bool // each read goes through here

	mu   sync.Mutex
	lent int
	fail error
	top  *node // of the tree, once it has been looked up
}

func (l *lender) View(context.Context) (*View, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return nil, l.fail
	}
	d, err := os.Open(l.dir)
	if err != nil {
		return nil, err
	}
	l.lent++
	return &View{Dir: d, Base: l.base, ReadOnly: l.readOnly, Release: func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lent--
		_ = d.Close()
	}}, nil
}

func (l *lender) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lent
}

// collection is the directory in which trees lie.
type collection struct {
	fusefs.Inode
	trees   map[string]*Tree
	lenders map[string]*lender
}

func (c *collection) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	t := c.trees[name]
	if t == nil {
		return nil, syscall.ENOENT
	}
	n, attr := t.Node()
	ch := c.NewInode(ctx, n, attr)
	var a fuse.AttrOut
	if errno := ch.Operations().(fusefs.NodeGetattrer).Getattr(ctx, nil, &a); errno != 0 {
		return nil, errno
	}
	out.Attr = a.Attr
	l := c.lenders[name]
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.top == nil { // later ones are not kept: the kernel knows the first
		l.top, _ = ch.Operations().(*node)
	}
	return ch, 0
}

// node is that of a file of the tree which has been looked up.
func (l *lender) node(t *testing.T, path string) *node {
	t.Helper()
	l.mu.Lock()
	at := l.top
	l.mu.Unlock()
	for name := range strings.SplitSeq(path, "/") {
		var ok bool
		if at, ok = at.GetChild(name).Operations().(*node); !ok {
			t.Fatalf("no node of %s", path)
		}
	}
	return at
}

func errno(err error) syscall.Errno {
	var e syscall.Errno
	if errors.As(err, &e) {
		return e
	}
	return syscall.EIO
}

// mount shows trees below a directory of their names, which it gives.
func mount(t *testing.T, lenders map[string]*lender) (string, map[string]*Tree) {
	t.Helper()
	needRoot(t)
	old := unix.Umask(0)
	t.Cleanup(func() { unix.Umask(old) })
	c := &collection{trees: map[string]*Tree{}, lenders: lenders}
	for name, l := range lenders {
		c.trees[name] = New(Options{Source: l, ID: "test/" + name, Errno: errno, Passthrough: !l.asked})
	}
	// Close to the real one's place: a link that gets out of a tree must not meet files by chance.
	at := filepath.Join(t.TempDir(), "mount")
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	server, err := fusefs.Mount(at, c, &fusefs.Options{
		NullPermissions: true,
		MountOptions: fuse.MountOptions{
			FsName: "hull-test", Name: "hull", DirectMountStrict: true,
			DirectMountFlags:  unix.MS_NOSUID | unix.MS_NODEV,
			Options:           []string{"default_permissions"},
			AllowOther:        true,
			MaxStackDepth:     2,
			ExtraCapabilities: fuse.CAP_ATOMIC_O_TRUNC | fuse.CAP_HANDLE_KILLPRIV_V2,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Unmount(); err != nil {
			t.Errorf("unmount: %v", err)
			_ = unix.Unmount(at, unix.MNT_DETACH)
		}
		for name, tree := range c.trees {
			tree.Close()
			if n := lenders[name].count(); n != 0 {
				t.Errorf("%s: %d views were not given back", name, n)
			}
		}
	})
	for name, l := range lenders {
		learnPoll(t, filepath.Join(at, name), l.dir)
		break
	}
	return at, c.trees
}

// learnPoll makes the kernel know that the mount has no poll. Else the first os.Open asks for it within Go's epoll_ctl,
// during which this process, that should answer, may be stopped by a garbage collection.
func learnPoll(t *testing.T, shown, beneath string) {
	t.Helper()
	const name = "poll"
	write(t, filepath.Join(beneath, name), "")
	fd, err := unix.Open(filepath.Join(shown, name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	check(t, err)
	_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	check(t, errors.Join(err, unix.Close(fd), os.Remove(filepath.Join(beneath, name))))
}

// writable makes a tree of a container, owned by its root, and mounts it.
func writable(t *testing.T) (shown, beneath string, tree *Tree) {
	t.Helper()
	needRoot(t)
	beneath = t.TempDir()
	if err := os.Chown(beneath, base, base); err != nil {
		t.Fatal(err)
	}
	at, trees := mount(t, map[string]*lender{"web": {dir: beneath, base: base}})
	return filepath.Join(at, "web"), beneath, trees["web"]
}

// sh runs a script in a directory. It must succeed; its output is given. The shell goes there by itself: between fork
// and exec this process, which serves the mount, may be unable to answer.
func sh(t *testing.T, dir, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-euc", `cd "$0"; `+script, dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s\n%v\n%s", script, err, out)
	}
	return string(out)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for what the kernel's belief in old answers may delay.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}
