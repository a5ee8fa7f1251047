package launch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
	"hull/engine/seccomp"
	"hull/tests/need"
)

// testRange is clear of what hull itself hands out.
var testRange = IDRange{First: 1_900_000_000, Size: 65536}

// privileged skips a test that needs root, unless the machine is meant to
// have it.
func privileged(t *testing.T) {
	t.Helper()
	need.Root(t, "it makes containers")
}

func asRoot() bool { return os.Geteuid() == 0 }

// within is how long anything may take on a machine that is busy.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// rootfs makes a root file system with busybox in it.
func rootfs(t testing.TB) string {
	t.Helper()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		need.Lacking(t, "busybox-static: "+err.Error())
	}
	dir := filepath.Join(t.TempDir(), "root")
	for _, d := range []string{"bin", "etc", "tmp", "root", "home/ann"} {
		must(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	must(t, os.Chmod(filepath.Join(dir, "tmp"), 0o1777))
	must(t, os.WriteFile(filepath.Join(dir, "bin/busybox"), busybox, 0o755))
	for _, a := range strings.Fields("sh cat id ls ps env hostname echo true false sleep stty tty touch mount grep pwd kill printf head readlink test stat ulimit mkdir ifconfig nc tr wc dd od sort date seq") {
		must(t, os.Symlink("busybox", filepath.Join(dir, "bin", a)))
	}
	write(t, dir, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000:Ann:/home/ann:/bin/sh\n")
	write(t, dir, "etc/group", "root:x:0:\nann:x:1000:\ndisk:x:6:ann\naudio:x:29:\n")
	return dir
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, dir, name, content string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
}

// bound is a Spec.Root that presents a directory, id-mapped.
func bound(dir string) func(*os.File) (*os.File, error) {
	return func(users *os.File) (*os.File, error) { return sys.MappedTree(dir, users) }
}

// spec is a container as a user gets it by default.
func spec(dir string, args ...string) Spec {
	return Spec{
		ID: "test", Hostname: "c0ffee", Args: args, Env: []string{"PATH=/bin"},
		Range: testRange, Root: bound(dir), NoNewPrivileges: true, Seccomp: seccomp.Default(),
	}
}

// running is a process with its output.
type running struct {
	*Parked
	out    chan string
	waited bool
}

// start parks and runs a container and gathers its output.
func start(t *testing.T, l *Launcher, s Spec) *running {
	t.Helper()
	var pipe *os.File
	if !s.TTY {
		r, w, err := os.Pipe()
		must(t, err)
		defer w.Close()
		s.Stdout, s.Stderr, pipe = w, w, r
	}
	p, err := l.Park(within(t), s)
	must(t, err)
	return launched(t, p, pipe)
}

// exec starts a process in a container and gathers its output.
func exec(t *testing.T, l *Launcher, c *running, s ExecSpec) *running {
	t.Helper()
	var pipe *os.File
	if !s.TTY {
		r, w, err := os.Pipe()
		must(t, err)
		defer w.Close()
		s.Stdout, s.Stderr, pipe = w, w, r
	}
	if s.Env == nil {
		s.Env = []string{"PATH=/bin"}
	}
	p, err := l.Exec(within(t), Target{Pidfd: c.Pidfd(), Range: testRange}, s)
	must(t, err)
	return launched(t, p, pipe)
}

func launched(t *testing.T, p *Parked, out *os.File) *running {
	t.Helper()
	if out == nil {
		out = p.Pty()
	}
	r := &running{Parked: p, out: make(chan string, 1)}
	go func() {
		var b bytes.Buffer
		_, _ = io.Copy(&b, out) // a terminal ends with EIO
		r.out <- b.String()
	}()
	t.Cleanup(func() {
		if !r.waited {
			_ = sys.Signal(p.Pidfd(), unix.SIGKILL)
			_ = sys.Wait(p.Pidfd())
		}
		_ = p.Close()
	})
	must(t, p.Run(within(t)))
	return r
}

// end waits for the process and gives its output and exit code.
func (r *running) end(t *testing.T) (string, int) {
	t.Helper()
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_PIDFD, int(r.Pidfd().Fd()), &info, unix.WEXITED, nil)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			t.Fatal(err)
		}
	}
	r.waited = true
	status := *(*int32)(ptrAt(&info, 24))
	return <-r.out, int(status)
}

func TestStartExecExit(t *testing.T) {
	privileged(t)
	l := &Launcher{}
	defer l.Close()
	c := start(t, l, spec(rootfs(t), "sh", "-c", "echo hello from $$; exit 7"))
	out, code := c.end(t)
	if out != "hello from 1\n" || code != 7 {
		t.Errorf("got %q, exit %d", out, code)
	}
}

func TestExec(t *testing.T) {
	privileged(t)
	l := &Launcher{}
	defer l.Close()
	c := start(t, l, spec(rootfs(t), "sleep", "1000"))
	out, code := exec(t, l, c, ExecSpec{Args: []string{"sh", "-c", "id; hostname; exit 3"}}).end(t)
	if out != "uid=0(root) gid=0(root) groups=0(root)\nc0ffee\n" || code != 3 {
		t.Errorf("got %q, exit %d", out, code)
	}
}

func TestNotFound(t *testing.T) {
	privileged(t)
	l := &Launcher{}
	defer l.Close()
	_, err := l.Park(within(t), spec(rootfs(t), "no-such-command"))
	var e *Error
	if !errors.As(err, &e) || e.Kind != NotFound {
		t.Fatalf("got %v", err)
	}
}
