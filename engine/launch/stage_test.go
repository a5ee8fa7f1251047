package launch

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
)

// A process that was made beforehand becomes any container with the same recipe: hostname, terminal, limits of the
// command and files are its own.
func TestStaged(t *testing.T) {
	privileged(t)
	l := &Launcher{}
	defer l.Close()
	for _, tty := range []bool{false, true} {
		staged, err := l.Stage(within(t), Spec{Range: testRange})
		must(t, err)
		s := spec(rootfs(t), "sh", "-c", "hostname; cat /etc/hosts; test -t 0 && tty && test -c /dev/console; ls /dev | grep -c console; exit 4")
		s.Hostname, s.TTY, s.Range = "late", tty, IDRange{}
		s.Files = map[string][]byte{"/etc/hosts": []byte("127.0.0.1 late\n")}
		if !staged.Serves(s) || !staged.Alive() {
			t.Fatal("the process does not serve the container")
		}
		var pipe *os.File
		if !tty {
			r, w, err := os.Pipe()
			must(t, err)
			s.Stdout, s.Stderr, pipe = w, w, r
		}
		p, err := staged.Park(within(t), s)
		_ = s.Stdout.Close() // the container has its own; without a pipe there is none to close
		must(t, err)
		out, code := launched(t, p, pipe).end(t)
		want := "late\n127.0.0.1 late\n0\n"
		if tty {
			want = "late\n127.0.0.1 late\n/dev/console\n1\n"
		}
		if out = strings.ReplaceAll(out, "\r", ""); tty {
			out = strings.Replace(out, "/dev/pts/0", "/dev/console", 1) // the same terminal by its other name
		}
		if out != want || code != 4 {
			t.Errorf("terminal %v: %q, exit %d; want %q", tty, out, code, want)
		}
	}
}

// What the stage was made with cannot be changed afterwards.
func TestStagedServesOnlyItsRecipe(t *testing.T) {
	privileged(t)
	l := &Launcher{}
	defer l.Close()
	plain := spec(rootfs(t), "true")
	for name, change := range map[string]func(*Spec){
		"shm":       func(s *Spec) { s.ShmSize = 1 << 20 },
		"masked":    func(s *Spec) { s.Masked = []string{} },
		"read-only": func(s *Spec) { s.ReadOnlyPaths = []string{"/proc/bus"} },
	} {
		staged, err := l.Stage(within(t), Spec{Range: testRange})
		must(t, err)
		other := plain
		change(&other)
		if staged.Serves(other) || !staged.Serves(plain) {
			t.Errorf("%s: it serves %v, and the plain one %v", name, staged.Serves(other), staged.Serves(plain))
		}
		var e *Error
		if p, err := staged.Park(within(t), other); !errors.As(err, &e) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

// A process that somebody kills while it waits is found out, and a start on it fails without a trace.
func TestStagedKilled(t *testing.T) {
	privileged(t)
	l := &Launcher{}
	defer l.Close()
	staged, err := l.Stage(within(t), Spec{Range: testRange})
	must(t, err)
	must(t, sys.Signal(staged.p.Pidfd(), unix.SIGKILL))
	for staged.Alive() {
	}
	var e *Error
	if _, err := staged.Park(within(t), spec(rootfs(t), "true")); !errors.As(err, &e) || e.Kind != Gone {
		t.Errorf("got %v", err)
	}
}

// BenchmarkStaged is a container from a process that was made beforehand to its end.
func BenchmarkStaged(b *testing.B) {
	if !asRoot() {
		b.Skip("needs root")
	}
	l := &Launcher{}
	defer l.Close()
	s := spec(rootfs(b), "/bin/true")
	for b.Loop() {
		b.StopTimer()
		staged, err := l.Stage(b.Context(), s)
		must(b, err)
		b.StartTimer()
		p, err := staged.Park(b.Context(), s)
		must(b, err)
		must(b, p.Run(b.Context()))
		_ = sys.Wait(p.Pidfd())
		_ = p.Close()
	}
}
