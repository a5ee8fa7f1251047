package launch

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCommands127And126(t *testing.T) {
	privileged(t)
	dir := rootfs(t)
	must(t, os.Mkdir(filepath.Join(dir, "bin/directory"), 0o755))
	write(t, dir, "bin/plain", "#!/bin/sh\n")
	write(t, dir, "bin/script", "#!/bin/sh\necho a script\n")
	write(t, dir, "bin/lost", "#!/no/interpreter\n")
	write(t, dir, "bin/noise", "\x01\x02\x03\x04")
	write(t, dir, "bin/private", "#!/bin/sh\necho private\n")
	must(t, os.Symlink("around", filepath.Join(dir, "bin/around")))
	must(t, os.Symlink("nowhere", filepath.Join(dir, "bin/dangling")))
	must(t, unix.Mkfifo(filepath.Join(dir, "bin/pipe"), 0o755))
	for _, x := range []string{"script", "lost", "noise"} {
		must(t, os.Chmod(filepath.Join(dir, "bin", x), 0o755))
	}
	must(t, os.Chmod(filepath.Join(dir, "bin/private"), 0o700))

	tests := []struct {
		command, user, dir string
		early              Kind // what Park says; System: nothing
		late               Kind // what Run says
		code               int
	}{
		{command: "true"},
		{command: "script"},
		{command: "/bin/true"},
		{command: "bin/true"},
		{command: "./true", dir: "/bin"},
		{command: "../bin/true", dir: "/tmp"},
		{command: "private"},
		{command: "missing", early: NotFound, code: 127},
		{command: "/bin/missing", early: NotFound, code: 127},
		{command: "./true", dir: "/tmp", early: NotFound, code: 127},
		{command: "dangling", early: NotFound, code: 127},
		{command: "directory", early: NotExecutable, code: 126},
		{command: "/bin", early: NotExecutable, code: 126},
		{command: "plain", early: NotExecutable, code: 126},
		{command: "/bin/plain", early: NotExecutable, code: 126},
		{command: "pipe", early: NotExecutable, code: 126},
		{command: "around", early: NotExecutable, code: 126},
		{command: "/bin/true/x", early: NotExecutable, code: 126},
		{command: "private", user: "ann", early: NotExecutable, code: 126},
		{command: strings.Repeat("x", 300), early: NotExecutable, code: 126},
		{command: "lost", late: NotFound, code: 127},
		{command: "noise", late: NotExecutable, code: 126},
	}
	l := &Launcher{}
	defer l.Close()
	for _, tt := range tests {
		name := strings.Trim(tt.command[:min(len(tt.command), 20)]+" "+tt.user+tt.dir, " ")
		t.Run(strings.ReplaceAll(name, "/", "|"), func(t *testing.T) {
			s := spec(dir, tt.command)
			s.User, s.Dir = tt.user, tt.dir
			if tt.early != System {
				e := refused(t, s, tt.early)
				if e.ExitCode() != tt.code {
					t.Errorf("exit code %d", e.ExitCode())
				}
				return
			}
			p, err := l.Park(within(t), s)
			must(t, err)
			r := &running{Parked: p, out: make(chan string, 1)}
			r.out <- ""
			err = p.Run(within(t))
			var e *Error
			switch {
			case tt.late == System && err != nil:
				t.Errorf("it does not run: %v", err)
			case tt.late != System && (!errors.As(err, &e) || e.Kind != tt.late || e.ExitCode() != tt.code):
				t.Errorf("got %v, want kind %d", err, tt.late)
			}
			if _, code := r.end(t); code != tt.code {
				t.Errorf("the process exits with %d, want %d", code, tt.code)
			}
			must(t, p.Close())
		})
	}
}

func TestLongArguments(t *testing.T) {
	privileged(t)
	dir := rootfs(t)
	var args []string
	for range 2000 {
		args = append(args, strings.Repeat("y", 500))
	}
	s := spec(dir, append([]string{"sh", "-c", "echo $#", "sh"}, args...)...)
	want(t, run(t, s), "2000")

	l := &Launcher{}
	defer l.Close()
	s = spec(dir, "true", strings.Repeat("z", 4<<20)) // the kernel takes 128 KiB each
	p, err := l.Park(within(t), s)
	must(t, err)
	defer p.Close()
	defer p.Abort()
	var e *Error
	if err := p.Run(within(t)); !errors.As(err, &e) || e.Kind != NotExecutable {
		t.Errorf("got %v", err)
	}
}

func TestExecErrors(t *testing.T) {
	privileged(t)
	dir := rootfs(t)
	l := &Launcher{}
	defer l.Close()
	c := start(t, l, spec(dir, "sleep", "1000"))
	target := Target{Pidfd: c.Pidfd(), Range: testRange}
	for _, tt := range []struct {
		spec ExecSpec
		kind Kind
	}{
		{ExecSpec{Args: []string{"missing"}}, NotFound},
		{ExecSpec{Args: []string{"/etc/passwd"}}, NotExecutable},
		{ExecSpec{Args: []string{"true"}, User: "nobody-here"}, Invalid},
		{ExecSpec{Args: []string{"true"}, User: "root:nobody-here"}, Invalid},
		{ExecSpec{Args: []string{"true"}, User: "70000"}, Invalid},
		{ExecSpec{Args: []string{"true"}, User: "-1"}, Invalid},
		{ExecSpec{Args: []string{"true"}, Dir: "/missing"}, Invalid},
		{ExecSpec{Args: []string{"true"}, Dir: "/proc/self/fd/3"}, Invalid},
		{ExecSpec{Args: []string{"true"}, Dir: "relative"}, Invalid},
		{ExecSpec{Args: []string{"tr\x00ue"}}, Invalid},
		{ExecSpec{Args: []string{}}, Invalid},
		{ExecSpec{Args: []string{"true"}, Capabilities: []string{"CAP_NONSENSE"}}, Invalid},
	} {
		tt.spec.Env = []string{"PATH=/bin"}
		p, err := l.Exec(within(t), target, tt.spec)
		var e *Error
		if !errors.As(err, &e) || e.Kind != tt.kind || e.Text == "" {
			t.Errorf("%+v: got %v, want kind %d", tt.spec, err, tt.kind)
		}
		if p != nil {
			p.Abort()
			_ = p.Close()
		}
	}
	must(t, unix.PidfdSendSignal(int(c.Pidfd().Fd()), unix.SIGKILL, nil, 0))
	if _, code := c.end(t); code != int(unix.SIGKILL) {
		t.Errorf("status %d", code)
	}
	_, err := l.Exec(within(t), target, ExecSpec{Args: []string{"true"}})
	var e *Error
	if !errors.As(err, &e) || e.Kind != Gone {
		t.Errorf("an exec into an ended container: %v", err)
	}
}

func TestCommandsOfARoot(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"bin", "usr/bin/sub"} {
		must(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	for name, mode := range map[string]os.FileMode{"bin/a": 0o755, "bin/plain": 0o644, "usr/bin/a": 0o755, "usr/bin/b": 0o111, "outside": 0o755} {
		must(t, os.WriteFile(filepath.Join(dir, name), nil, mode))
	}
	for name, target := range map[string]string{"bin/abs": "/usr/bin/b", "bin/up": "../../../../../usr/bin/a", "bin/host": "/bin/busybox", "bin/circle": "circle", "bin/dir": "../usr", "link": "bin"} {
		must(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	must(t, unix.Mkfifo(filepath.Join(dir, "bin/pipe"), 0o755))
	root, err := os.Open(dir)
	must(t, err)
	defer root.Close()
	got, err := Commands(root, []string{"/bin", "/usr/bin", "/missing", "/bin/a", "relative", "/link", "/../.."})
	must(t, err)
	if w := []string{"a", "abs", "b", "outside", "up"}; !slices.Equal(got, w) {
		t.Errorf("got %v, want %v", got, w)
	}
}
