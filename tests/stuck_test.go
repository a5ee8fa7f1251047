package tests

import (
	"context"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// silent is a file system that does not answer who looks for anything in it, as one of a server that is gone: not even
// SIGKILL ends who waits for it.
type silent struct {
	fusefs.Inode
	asked  chan struct{} // closed when somebody does
	once   *sync.Once
	answer chan struct{} // closed when it answers after all
}

var _ fusefs.NodeLookuper = (*silent)(nil)

func (s *silent) Lookup(context.Context, string, *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	s.once.Do(func() { close(s.asked) })
	<-s.answer
	return nil, syscall.ENOENT
}

// TestStuck has a container's process wait in the kernel, where no signal reaches it.
func TestStuck(t *testing.T) {
	needs(t)
	base, err := os.MkdirTemp("", "hull-stuck-")
	if err != nil {
		t.Fatal(err)
	}
	hang, err := os.MkdirTemp("", "hull-silent-")
	if err != nil {
		t.Fatal(err)
	}
	m := &mounted{base: base}
	s := &silent{asked: make(chan struct{}), once: new(sync.Once), answer: make(chan struct{})}
	server, err := fusefs.Mount(hang, s, &fusefs.Options{MountOptions: fuse.MountOptions{AllowOther: true, DirectMountStrict: true}})
	if err != nil {
		t.Fatal(err)
	}
	release := sync.OnceFunc(func() { close(s.answer) })
	t.Cleanup(func() {
		release()
		problems := m.end()
		if err := exec.Command("umount", "-l", hang).Run(); err != nil {
			problems = append(problems, "the silent file system: "+err.Error())
		}
		server.Wait()
		if err := os.Remove(hang); err != nil {
			problems = append(problems, err.Error())
		}
		for _, p := range problems {
			t.Errorf("left behind: %s", p)
		}
	})
	mount := func() {
		t.Helper()
		if out, err := exec.Command(hull, m.mountArgs(nil)...).CombinedOutput(); err != nil {
			t.Fatalf("mount: %v: %s", err, out)
		}
	}
	mount()
	m.must(t, "./run -d --name stuck --userns host -v "+hang+":/hang $REG/host:1 cat /hang/file")
	select {
	case <-s.asked:
	case <-time.After(patience):
		t.Fatal("nobody has looked into the silent file system")
	}
	m.must(t, "cp containers/stuck/pid $STORE/pid")

	// It is shown as ever, and who wants it to end is told what keeps it.
	out, err := m.shell("echo 'stop 0' > containers/stuck/ctl")
	if err == nil {
		t.Errorf("it was stopped: %s", out)
	}
	m.must(t, "ls -l containers containers/stuck > /dev/null && grep -q stuck containers.txt && cat containers/stuck/processes > /dev/null")
	m.must(t, "grep -q '(cat) in it has not ended 10s after SIGKILL: it waits in the kernel' containers/stuck/error")
	if out, err := m.shell("rmdir containers/stuck"); err == nil {
		t.Errorf("it was removed without force: %s", out)
	}

	// It can be removed; its name, and the mount, are free.
	m.must(t, "echo 'remove force' > containers/stuck/ctl && ! test -e containers/stuck")
	m.must(t, "./run --name stuck $REG/host:1 true && rmdir containers/stuck")
	m.must(t, "kill -0 $(cat $STORE/pid)")
	if out, err := exec.Command(hull, m.umountArgs([]string{"--stop"})...).CombinedOutput(); err != nil {
		t.Fatalf("umount: %v: %s", err, out)
	}
	if out, err := exec.Command("sh", "-c", "kill -0 $(cat "+m.path("store")+"/pid)").CombinedOutput(); err != nil {
		t.Errorf("the process has ended, so this test shows nothing: %s", out)
	}
	release()
	mount() // which clears away what is left of it
	m.must(t, "for i in $(seq 600); do kill -0 $(cat $STORE/pid) 2>/dev/null || exit 0; sleep 0.1; done; false")
}
