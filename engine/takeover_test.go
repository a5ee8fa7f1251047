package engine

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/monitor"
)

// outsider is a process that this test's engine has not started.
type outsider struct {
	*testing.T
	cmd   *exec.Cmd
	pidfd *os.File
	in    *os.File // by which a shell goes on from its read
}

func begin(t *testing.T, stdout *os.File, script string) *outsider {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	o := &outsider{T: t, cmd: exec.Command("sh", "-c", script), in: w}
	o.cmd.Stdin = r
	if stdout != nil {
		o.cmd.Stdout = stdout
	}
	fd := -1
	o.cmd.SysProcAttr = &syscall.SysProcAttr{PidFD: &fd}
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	o.pidfd = os.NewFile(uintptr(fd), "pidfd")
	t.Cleanup(func() {
		_ = o.cmd.Process.Kill()
		_ = o.cmd.Wait()
		closeAll(o.pidfd, o.in)
	})
	return o
}

func (o *outsider) pid() int { return o.cmd.Process.Pid }

// goOn has it go on.
func (o *outsider) goOn() {
	o.Helper()
	if _, err := o.in.WriteString("\n"); err != nil {
		o.Fatal(err)
	}
}

// A container's pipe is found again where one of its processes has it, with what is in it.
func TestOutputAgain(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	inode := inodeOf(w)
	o := begin(t, w, "echo before; read x; echo after")
	other := begin(t, nil, "read x")
	closeAll(w)
	b := make([]byte, 7)
	if _, err := r.Read(b); err != nil || string(b) != "before\n" {
		t.Fatalf("%q, %v", b, err)
	}
	closeAll(r) // nobody reads any more
	if f := outputAgain([]int{other.pid()}, inode); f != nil {
		t.Error("a process is said to have a pipe that it has not")
	}
	if outputAgain([]int{o.pid()}, inode+1<<40) != nil || outputAgain([]int{o.pid()}, 0) != nil {
		t.Error("a pipe that is none is found")
	}
	again := outputAgain([]int{1 << 30, other.pid(), o.pid()}, inode) // the first is nobody
	if again == nil {
		t.Fatal("the pipe is not found")
	}
	defer again.Close()
	o.goOn()
	b = make([]byte, 20)
	if n, err := again.Read(b); err != nil || string(b[:n]) != "after\n" {
		t.Errorf("%q, %v", b[:n], err)
	}
}

// What stands where a pipe was is looked at before it is opened: a process may have put something else there meanwhile.
func TestOpenPipe(t *testing.T) {
	dir := t.TempDir()
	named := filepath.Join(dir, "named")
	if err := unix.Mkfifo(named, 0o600); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{named, plain, dir} {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		if f := openPipe(path, st.Ino); f != nil { // of a named one the opening would wait for a writer
			t.Errorf("%s is taken for a container's pipe", path)
		}
	}
	if openPipe(filepath.Join(dir, "missing"), 1) != nil {
		t.Error("what is not there is opened")
	}
}

// takeoverWorld is an engine with a container web that nobody holds, whose process is an outsider.
func takeoverWorld(t *testing.T, o *outsider) (*world, *supervisor) {
	w := newWorld(t)
	c := w.create("web", "sleep", false)
	s, err := w.e.lookup("test", c.ID)
	if err != nil {
		t.Fatal(err)
	}
	w.groups.live = map[string]*testGroup{c.ID: {t: w.groups, id: c.ID, pids: []int{o.pid()}}}
	w.groups.of = map[int]string{o.pid(): c.ID}
	w.e.parts.first = func(pid int) bool { return pid == o.pid() }
	return w, s
}

// The first process of a run is known by more than its number.
func TestFirstOf(t *testing.T) {
	o := begin(t, nil, "read x")
	w, s := takeoverWorld(t, o)
	inode := inodeOf(o.pidfd)
	for _, c := range []struct {
		name  string
		note  runNote
		group string // the run's
		first bool
		found bool
	}{
		{"all is known of it", runNote{PID: o.pid(), Inode: inode}, s.id, true, true},
		{"its number was not noted", runNote{}, s.id, true, true},
		{"another number", runNote{PID: os.Getpid()}, s.id, true, false},
		{"another pidfd", runNote{PID: o.pid(), Inode: inode + 1<<40}, s.id, true, false},
		{"another group", runNote{PID: o.pid()}, "other", true, false},
		{"not the first", runNote{PID: o.pid()}, s.id, false, false},
	} {
		w.e.parts.first = func(int) bool { return c.first }
		c.note.Started = time.Unix(7, 0)
		h, err := s.firstOf([]int{1 << 30, o.pid()}, c.group, &c.note)
		if err != nil || (h != nil) != c.found {
			t.Errorf("%s: %+v, %v", c.name, h, err)
		}
		if h == nil {
			continue
		}
		if h.PID != o.pid() || h.ID != s.id || h.Dir != s.dir || !h.Started.Equal(c.note.Started) || !samePid(h.Pidfd, o.pidfd) {
			t.Errorf("%s: %+v", c.name, h)
		}
		h.Close()
	}
}

// A run may live if the state says so and no exit of it is on record.
func TestLostRun(t *testing.T) {
	o := begin(t, nil, "read x")
	_, s := takeoverWorld(t, o)
	run, attempt := runNote{PID: 5, Started: time.Unix(5, 0)}, runNote{PID: 6, Started: time.Unix(6, 0)}
	for _, c := range []struct {
		name  string
		state *state
		exit  time.Time
		pid   int
		begun bool
	}{
		{"no state", nil, time.Time{}, 0, false},
		{"it had ended", &state{State: Exited, Run: run}, time.Time{}, 0, false},
		{"it ran", &state{State: Up, Run: run}, time.Time{}, 5, true},
		{"it was paused", &state{State: Paused, Run: run}, time.Time{}, 5, true},
		{"it was being stopped", &state{State: Stopping, Run: run}, time.Time{}, 5, true},
		{"it was being started", &state{State: Created, Attempt: &attempt}, time.Time{}, 6, false},
		{"an earlier run has ended", &state{State: Up, Run: run}, time.Unix(4, 0), 5, true},
		{"its exit is on record", &state{State: Up, Run: run}, run.Started, 0, true},
		{"that of the attempt is", &state{State: Exited, Run: run, Attempt: &attempt}, attempt.Started, 0, true},
	} {
		_ = os.Remove(filepath.Join(s.dir, stateFile))
		_ = os.Remove(filepath.Join(s.dir, "exit.json"))
		if c.state != nil {
			if err := c.state.write(s.dir); err != nil {
				t.Fatal(err)
			}
		}
		if !c.exit.IsZero() {
			data, err := json.Marshal(monitor.Exit{Started: c.exit})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(s.dir, "exit.json"), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		note, begun := s.lostRun()
		switch {
		case c.pid == 0 && note != nil:
			t.Errorf("%s: %+v may live", c.name, note)
		case c.pid != 0 && (note == nil || note.PID != c.pid || begun != c.begun):
			t.Errorf("%s: %+v, %v", c.name, note, begun)
		}
	}
}

// A start that was not noted to its end is waited for: its process ends, or runs its command.
func TestAbandoned(t *testing.T) {
	o := begin(t, nil, "read x")
	w, s := takeoverWorld(t, o)
	h := &monitor.Held{PID: o.pid(), Pidfd: o.pidfd}
	looks := 0
	w.e.parts.released = func(int) bool { looks++; return looks > 3 }
	if s.abandoned(t.Context(), h) {
		t.Error("a process that runs its command is given up")
	}
	w.e.parts.released = func(int) bool { return false }
	o.goOn()
	if !s.abandoned(t.Context(), h) {
		t.Error("a process that has ended is taken over")
	}
}

// recorder is a monitor that holds nothing, and notes what it is given.
type recorder struct {
	*testMonitor
	adopted monitor.Adopt
	text    []byte // what was in its output
	began   []int  // what sessions it was given
	hungUp  []string
}

func (r *recorder) List(context.Context) ([]monitor.Held, error) { return nil, nil }

func (r *recorder) Adopt(_ context.Context, a monitor.Adopt) error {
	r.adopted = a
	if a.Stdout != nil {
		b := make([]byte, 100)
		n, _ := a.Stdout.Read(b)
		r.text = b[:n]
	}
	return nil
}

func (r *recorder) Session(_ context.Context, s monitor.Session) error {
	r.began = append(r.began, s.PID)
	return nil
}

func (r *recorder) HangUp(_ context.Context, _, key string) error {
	r.hungUp = append(r.hungUp, key)
	return nil
}

// A container that nobody holds is found by what is on disk of it, is given to the monitor with its output, loses what
// was executed in it, and says so.
func TestTakeOver(t *testing.T) {
	for _, c := range []struct {
		name    string
		process *process
		lost    string
		says    string
	}{
		{"plain", &process{}, "", ""},
		{"terminal", &process{TTY: true}, "terminal", "its terminal was hung up"},
		{"input", &process{Stdin: true}, "input", "its input has ended"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, out, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			o := begin(t, out, "echo told; read x")
			executed := begin(t, nil, "read x") // its parent is this test: it was born outside
			note := runNote{PID: o.pid(), Inode: inodeOf(o.pidfd), Started: time.Unix(9, 0), Process: c.process, Outputs: [2]uint64{inodeOf(out), 0}}
			closeAll(out)
			waitReadable(t, r)
			w, s := takeoverWorld(t, o)
			if err := w.e.Close(); err != nil {
				t.Fatal(err)
			}
			closeAll(r)
			w.groups.live = map[string]*testGroup{s.id: {t: w.groups, id: s.id, pids: []int{executed.pid(), o.pid()}}}
			if err := (&state{State: Up, Run: note}).write(s.dir); err != nil {
				t.Fatal(err)
			}
			told := make(chan Event, 100)
			rec := &recorder{testMonitor: newTestMonitor()}
			w.e, err = newEngine(t.Context(), Options{Dir: w.dir, Tree: "test", Roots: w.roots, Monitor: rec, Notify: func(ev Event) { told <- ev }}).open(t.Context(),
				parts{launcher: w.launch, groups: w.groups, first: func(pid int) bool { return pid == o.pid() }, released: testReleased})
			if err != nil {
				t.Fatal(err)
			}
			got := rec.adopted
			if got.ID != s.id || got.PID != o.pid() || !got.Again || !got.Started.Equal(note.Started) || string(rec.text) != "told\n" {
				t.Errorf("the monitor was given %+v with %q in its pipe", got, rec.text)
			}
			if !slices.Equal(rec.began, []int{executed.pid()}) || len(rec.hungUp) != 1 {
				t.Errorf("of what was executed in it %v were found, and %v hung up", rec.began, rec.hungUp)
			}
			web, ok := w.e.Find("web")
			if !ok || web.State != Up || web.PID != o.pid() || !strings.Contains(web.Error, c.says) || c.says == "" && web.Error != "" {
				t.Errorf("it is shown as %+v", web)
			}
			ev := <-told
			if ev.Action != actTakeOver || ev.Cause != Recovery || ev.Name != "web" || ev.Attributes["lost"] != c.lost {
				t.Errorf("told: %+v", ev)
			}
			if st := readState(s.dir); st == nil || st.State != Up || st.Error != web.Error {
				t.Errorf("noted: %+v", st)
			}
		})
	}
}

func waitReadable(t *testing.T, f *os.File) {
	t.Helper()
	p := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}
	if n, err := unix.Poll(p, int(patience.Milliseconds())); n != 1 || err != nil {
		t.Fatalf("nothing comes: %v", err)
	}
}

func TestFirst(t *testing.T) {
	if first(os.Getpid()) || first(1<<30) {
		t.Error("this process, or nobody, is the first of a container")
	}
	if got := parentOf(os.Getpid()); got != os.Getppid() {
		t.Errorf("this process's parent is %d, not %d", got, os.Getppid())
	}
	if parentOf(1<<30) != 0 {
		t.Error("nobody has a parent")
	}
}
