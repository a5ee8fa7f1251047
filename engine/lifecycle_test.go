package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hull/engine/logs"
	"hull/engine/monitor"
)

func TestLife(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	c := w.create("web", "sleep", false)
	if c.State != Created || c.ImageID != "sha256:box" || c.Image != "box" || c.Name != "web" || len(c.ID) != 64 {
		t.Fatalf("%+v", c)
	}
	for _, alias := range []string{"web", c.ID, c.ShortID()} {
		if x, ok := w.e.Find(alias); !ok || x.ID != c.ID {
			t.Errorf("%s is not found", alias)
		}
	}
	_, err := w.e.Create(ctx, New{Name: "web"})
	w.want(err, Exists)
	w.want(w.e.Kill(ctx, "web", ""), NotRunning)
	w.want(w.e.Pause(ctx, "web"), NotRunning)
	w.ok(w.e.Stop(ctx, "web", 0))
	if x, err := w.e.Wait(ctx, "web"); err != nil || x != (Exit{}) {
		t.Errorf("%+v, %v", x, err)
	}

	w.ok(w.e.Start(ctx, c.ID))
	c, _ = w.e.Find("web")
	if c.State != Up || c.PID == 0 || c.Started.IsZero() || c.Exit != nil {
		t.Fatalf("%+v", c)
	}
	w.want(w.e.Start(ctx, c.ID), Running)
	w.want(w.e.Remove(ctx, c.ID, false), Running)
	w.want(w.e.Kill(ctx, c.ID, "SIGNONE"), Invalid)
	w.want(w.e.Unpause(ctx, c.ID), Busy)
	w.ok(w.e.Pause(ctx, c.ID))
	if s := w.state("web"); s != Paused {
		t.Errorf("%s", s)
	}
	w.want(w.e.Pause(ctx, c.ID), Busy)
	_, err = w.e.Exec(ctx, c.ID, ExecOptions{Command: []string{"exit", "0"}})
	w.want(err, Busy)
	w.ok(w.e.Unpause(ctx, c.ID))
	w.ok(w.e.Rename(ctx, c.ID, "www"))
	if _, ok := w.e.Find("web"); ok {
		t.Error("the old name is still there")
	}
	w.ok(w.e.Stop(ctx, "www", -1))
	c, _ = w.e.Find("www")
	if c.State != Exited || c.Exit == nil || c.Exit.Code != 143 || c.Exit.Signal != 15 || c.PID != 0 || c.Finished.IsZero() {
		t.Fatalf("%+v %+v", c, c.Exit)
	}
	if x, err := w.e.Wait(ctx, "www"); err != nil || x.Code != 143 {
		t.Errorf("%+v, %v", x, err)
	}
	w.ok(w.e.Restart(ctx, "www", -1))
	w.ok(w.e.Restart(ctx, "www", -1))
	if s := w.state("www"); s != Up {
		t.Errorf("%s", s)
	}
	w.ok(w.e.Remove(ctx, "www", true))
	w.want(w.e.Start(ctx, c.ID), Removed)
	w.want(w.e.Start(ctx, "www"), NotFound)
	if n := w.roots.held(); n != 0 {
		t.Errorf("%d images are held", n)
	}
	if n := len(w.e.List()); n != 0 {
		t.Errorf("%d containers are listed", n)
	}
	want := []string{
		"create web", "start web", "pause web", "unpause web", "rename www", "kill www", "die www 143", "stop www",
		"start www", "restart www", "kill www", "die www 143", "stop www", "start www", "restart www",
		"kill www", "die www 137", "destroy www",
	}
	if d := cmp.Diff(want, w.told()); d != "" {
		t.Error(d)
	}
	w.until("the files are deleted", func() bool {
		names, err := os.ReadDir(filepath.Join(w.dir, "containers"))
		return err == nil && len(names) == 0
	})
}

func TestCreateRefuses(t *testing.T) {
	w := newWorld(t)
	for _, r := range []struct {
		n    New
		kind Kind
	}{
		{New{Name: "a/b"}, Invalid},
		{New{Name: "web", Image: "BAD"}, Invalid},
		{New{Name: "web", Image: "nosuch", Start: true}, NotFound},
		{New{Name: "web", Start: true}, Invalid},
		{New{Name: "web", Settings: map[string]string{"tty": "maybe"}}, Invalid},
		{New{Name: "web", Settings: map[string]string{"nosuch": "1"}}, NotFound},
	} {
		_, err := w.e.Create(t.Context(), r.n)
		w.want(err, r.kind)
	}
	if names, err := os.ReadDir(filepath.Join(w.dir, "containers")); err != nil || len(names) != 0 {
		t.Errorf("%v, %v are left", names, err)
	}
	w.create("web", "sleep", false) // the name is free still
}

func TestFailedStart(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	for command, kind := range map[string]Kind{"nosuch": NotCommand, "badexec": NotExecutable, "fullstop": Space} {
		_, err := w.e.Create(ctx, New{Name: "web", Image: "box", Settings: map[string]string{"command": command}, Start: true})
		w.want(err, kind)
		if s := w.state("web"); s != "gone" {
			t.Errorf("%s leaves a container that is %s", command, s)
		}
	}
	if n := w.roots.held(); n != 0 {
		t.Errorf("%d images are held", n)
	}
	w.create("web", "nosuch", false)
	w.want(w.e.Start(ctx, "web"), NotCommand)
	c, _ := w.e.Find("web")
	if c.State != Created || c.Exit == nil || c.Exit.Code != 127 || c.Error == "" || !c.Started.IsZero() || c.Finished.IsZero() {
		t.Fatalf("%+v", c)
	}
	w.ok(w.e.Set(ctx, "web", "command", "badexec"))
	w.want(w.e.Start(ctx, "web"), NotExecutable)
	c, _ = w.e.Find("web")
	if c.Exit.Code != 126 {
		t.Errorf("%+v", c.Exit)
	}
	w.ok(w.e.Set(ctx, "web", "command", "exit 3"))
	w.ok(w.e.Start(ctx, "web"))
	if x, err := w.e.Wait(ctx, "web"); err != nil || x.Code != 3 {
		t.Errorf("%+v, %v", x, err)
	}
	c, _ = w.e.Find("web")
	if c.Error != "" {
		t.Errorf("the error %q is still there", c.Error)
	}
	w.ok(w.e.Remove(ctx, "web", false))
	w.groups.mu.Lock()
	defer w.groups.mu.Unlock()
	w.e.ranges.mu.Lock()
	defer w.e.ranges.mu.Unlock()
	if len(w.groups.live) != 0 || len(w.e.ranges.used) != 0 {
		t.Errorf("cgroups %v, ranges %v are left", w.groups.live, w.e.ranges.used)
	}
}

// A kill during a stop's grace acts at once, and the stop returns.
func TestKillDuringStop(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.create("web", "deaf", true)
	stopped := make(chan error, 2)
	for range 2 { // the second joins the first
		go func() { stopped <- w.e.Stop(ctx, "web", 3600) }()
	}
	w.until("stopping", func() bool { return w.state("web") == Stopping })
	w.want(w.e.Start(ctx, "web"), Running)
	w.ok(w.e.Kill(ctx, "web", "KILL"))
	if s := w.state("web"); s != Exited {
		t.Errorf("%s: a KILL is answered when the container has ended", s)
	}
	for range 2 {
		w.ok(<-stopped)
	}
	if c, _ := w.e.Find("web"); c.Exit.Code != 137 {
		t.Errorf("%+v", c.Exit)
	}
}

// A container that does not heed the signal is killed when the grace is over.
func TestStopKills(t *testing.T) {
	w := newWorld(t)
	w.create("web", "deaf", true)
	w.ok(w.e.Stop(t.Context(), "web", 0))
	if c, _ := w.e.Find("web"); c.Exit.Code != 137 {
		t.Errorf("%+v", c.Exit)
	}
}

// A caller that is interrupted leaves the work going.
func TestInterrupted(t *testing.T) {
	w := newWorld(t)
	c := w.create("web", "deaf", true)
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- w.e.Stop(ctx, "web", 3600) }()
	w.until("stopping", func() bool { return w.state("web") == Stopping })
	cancel()
	w.want(<-stopped, Interrupted)
	waited := make(chan error, 1)
	go func() {
		_, err := w.e.Wait(t.Context(), c.ID)
		waited <- err
	}()
	w.ok(w.e.Remove(t.Context(), "web", true))
	if err := <-waited; err != nil && KindOf(err) != Removed {
		t.Error(err)
	}
}

func TestReadersNeverWait(t *testing.T) {
	w := newWorld(t)
	w.launch.gate = make(chan struct{})
	w.create("web", "sleep", false)
	started := make(chan error, 1)
	go func() { started <- w.e.Start(t.Context(), "web") }()
	w.launch.gate <- struct{}{}
	// The start hangs in the launcher; all this must answer all the same.
	if c, ok := w.e.Find("web"); !ok || c.State != Created {
		t.Errorf("%+v", c)
	}
	if len(w.e.List()) != 1 {
		t.Error("not listed")
	}
	if _, err := w.e.Inspect("web"); err != nil {
		t.Error(err)
	}
	if v, err := w.e.Get("web", "command"); err != nil || v != "sleep\n" {
		t.Errorf("%q, %v", v, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.want(w.e.Kill(ctx, "web", ""), Interrupted)
	w.create("other", "sleep", false)
	w.launch.gate <- struct{}{}
	w.ok(<-started)
}

func TestSettings(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.create("web", "sleep", false)
	w.want(w.e.Set(ctx, "web", "nosuch", "1"), NotFound)
	w.want(w.e.Set(ctx, "web", "tty", "maybe"), Invalid)
	w.want(w.e.Set(ctx, "web", "image", "BAD"), Invalid)
	w.ok(w.e.Set(ctx, "web", "env", "A=1\nB=2\n"))
	if v, err := w.e.Get("web", "env"); err != nil || v != "A=1\nB=2\n" {
		t.Errorf("%q, %v: a setting holds exactly what was written", v, err)
	}
	w.roots.images["other"] = &Image{ID: "sha256:other", Reference: "other", Cmd: []string{"sleep"}}
	w.ok(w.e.Set(ctx, "web", "image", "other"))
	if c, _ := w.e.Find("web"); c.ImageID != "sha256:other" || w.roots.held() != 1 {
		t.Errorf("%+v, %d held", c, w.roots.held())
	}
	w.ok(w.e.Start(ctx, "web"))
	w.want(w.e.Set(ctx, "web", "image", "box"), Busy)
	w.ok(w.e.Set(ctx, "web", "env", ""))
	w.ok(w.e.Set(ctx, "web", "stop_timeout", "1"))
	c, _ := w.e.Find("web")
	if d := cmp.Diff([]string{"env"}, c.Pending); d != "" {
		t.Error(d)
	}
	w.want(w.e.Set(ctx, "web", AllSettings, `{"image":"other","user":"a:b:c"}`), Invalid)
	w.ok(w.e.Set(ctx, "web", AllSettings, `{"image":"other","user":"7"}`))
	if v, _ := w.e.Get("web", "command"); v != "" {
		t.Errorf("%q should be reset", v)
	}
	w.ok(w.e.Close())
	w.open()
	if v, _ := w.e.Get("web", "user"); v != "7\n" {
		t.Errorf("%q: a setting must outlive the daemon", v)
	}
}

func TestWaitingForImage(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.roots.pulling["late"] = make(chan error, 1)
	c, err := w.e.Create(ctx, New{Name: "web", Image: "late", Start: true})
	w.ok(err)
	if c.State != Waiting {
		t.Fatalf("%+v", c)
	}
	w.ok(w.e.Start(ctx, "web")) // joins
	w.roots.pulled("late", nil)
	w.until("running", func() bool { return w.state("web") == Up })
	w.ok(w.e.Remove(ctx, "web", true))

	w.roots.pulling["bad"] = make(chan error, 1)
	_, err = w.e.Create(ctx, New{Name: "web", Image: "bad", Start: true})
	w.ok(err)
	w.roots.pulled("bad", fail("pull", "", Denied, "the registry does not let you"))
	w.until("given up", func() bool { return w.state("web") == Created })
	c, _ = w.e.Find("web")
	if !strings.Contains(c.Error, "does not let you") || c.Exit == nil || c.Exit.Code != 125 {
		t.Errorf("%+v", c)
	}

	w.roots.pulling["never"] = make(chan error, 1)
	w.ok(w.e.Set(ctx, "web", "image", "never"))
	w.ok(w.e.Start(ctx, "web"))
	if s := w.state("web"); s != Waiting {
		t.Fatal(s)
	}
	w.ok(w.e.Close()) // a new daemon goes on waiting
	w.open()
	w.until("waiting again", func() bool { return w.state("web") == Waiting })
	w.ok(w.e.Stop(ctx, "web", -1))
	if s := w.state("web"); s != Created {
		t.Errorf("%s after the stop", s)
	}
	w.ok(w.e.Start(ctx, "web"))
	w.ok(w.e.Remove(ctx, "web", false))
}

func TestRunAttached(t *testing.T) {
	w := newWorld(t)
	near, far, err := monitor.NewStatus()
	w.ok(err)
	defer near.Close()
	n := New{Image: "box", Settings: map[string]string{"command": "cat", "stdin": "true", "auto_remove": "true"}}
	c, a, err := w.e.Run(t.Context(), n, AttachOptions{Stdin: true, Status: far})
	w.ok(err)
	far.Close()
	defer a.Close()
	if a.Stdin == nil || len(a.Segments) != 1 || a.From != 0 {
		t.Fatalf("%+v", a)
	}
	fmt.Fprint(a.Stdin, "hello")
	w.ok(a.Stdin.Close())
	if s := readExit(t, near); s.Code != 0 {
		t.Errorf("%+v", s)
	}
	if _, ok := w.e.Find(c.ID); ok {
		t.Error("the container is still there when run --rm returns")
	}
	l := logs.Follow(a.Segments)
	data := make([]byte, 100)
	size, err := l.Both().ReadAt(data, a.From)
	if got := string(data[:size]); got != "hello" {
		t.Errorf("%q, %v", got, err)
	}
}

// readExit reads a status socket up to the exit.
func readExit(t *testing.T, f *os.File) monitor.Status {
	t.Helper()
	for {
		var b [monitor.StatusSize]byte
		n, err := f.Read(b[:])
		if err != nil {
			t.Fatalf("the status ends without an exit: %v", err)
		}
		s, err := monitor.DecodeStatus(b[:n])
		if err != nil {
			t.Fatal(err)
		}
		if !s.Grew {
			return s
		}
	}
}

// A run whose caller goes away while the image is being pulled leaves nothing.
func TestRunAbandoned(t *testing.T) {
	w := newWorld(t)
	w.roots.pulling["late"] = make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, _, err := w.e.Run(ctx, New{Name: "web", Image: "late"}, AttachOptions{})
		done <- err
	}()
	w.until("waiting", func() bool { return w.state("web") == Waiting })
	cancel()
	w.want(<-done, Interrupted)
	w.until("removed", func() bool { return w.state("web") == "gone" })
}

func TestAttach(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.create("web", "sleep", true)
	near, far, err := monitor.NewStatus()
	w.ok(err)
	defer near.Close()
	a, err := w.e.Attach(ctx, "web", AttachOptions{Status: far})
	w.ok(err)
	a.Close()
	far.Close()
	w.ok(w.e.Kill(ctx, "web", "KILL"))
	if s := readExit(t, near); s.Code != 137 {
		t.Errorf("%+v", s)
	}
	_, err = w.e.Attach(ctx, "web", AttachOptions{})
	w.want(err, NotRunning)
}

func TestExec(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.create("web", "sleep", true)
	_, err := w.e.Exec(ctx, "web", ExecOptions{})
	w.want(err, Invalid)
	_, err = w.e.Exec(ctx, "web", ExecOptions{Command: []string{"nosuch"}})
	w.want(err, NotCommand)
	_, err = w.e.Exec(ctx, "web", ExecOptions{Command: []string{"badexec"}})
	w.want(err, NotExecutable)

	near, far, err := monitor.NewStatus()
	w.ok(err)
	defer near.Close()
	out, in, err := os.Pipe()
	w.ok(err)
	defer out.Close()
	x, err := w.e.Exec(ctx, "web", ExecOptions{
		Command: []string{"env"}, Env: []string{"B=exec"}, Stdout: in, Status: far,
	})
	w.ok(err)
	defer x.Pidfd.Close()
	in.Close()
	far.Close()
	if s := readExit(t, near); s.Code != 0 {
		t.Errorf("%+v", s)
	}
	data := make([]byte, 4096)
	n, _ := out.Read(data)
	for _, want := range []string{"A=image", "B=exec", "PATH=/usr/local/sbin", "HOSTNAME="} {
		if !strings.Contains(string(data[:n]), want) {
			t.Errorf("%s is not in the environment %q", want, data[:n])
		}
	}

	long, err := w.e.Exec(ctx, "web", ExecOptions{Command: []string{"sleep"}})
	w.ok(err)
	defer long.Pidfd.Close()
	w.until("the session is shown", func() bool {
		c, _ := w.e.Find("web")
		return len(c.Sessions) == 3 && c.Sessions[1].Exit != nil && *c.Sessions[1].Exit == 0 && c.Sessions[2].PID == long.PID
	})
	w.ok(long.Signal(ctx, 9))
	w.until("the session is over", func() bool {
		c, _ := w.e.Find("web")
		return c.Sessions[2].Exit != nil && *c.Sessions[2].Exit == 137
	})
	w.ok(long.Signal(ctx, 9))
	w.ok(w.e.Stop(ctx, "web", 0))
	_, err = w.e.Exec(ctx, "web", ExecOptions{Command: []string{"exit", "0"}})
	w.want(err, NotRunning)
}

// A new daemon finds the containers as they are: running, ended meanwhile, and ended with nobody looking.
func TestReopen(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	c := w.create("web", "sleep", true)
	w.create("once", "exit 4", false)
	w.ok(w.e.Close())
	w.open()
	x, ok := w.e.Find("web")
	if !ok || x.State != Up || x.PID != c.PID || x.Name != "web" || !x.Started.Equal(c.Started) {
		t.Fatalf("%+v", x)
	}
	s := w.e.index.find("web")
	if l := s.lease; l == nil || l.first != s.st.Run.Range {
		t.Errorf("%+v: the range is not the container's", l)
	}
	_, err := w.e.Exec(ctx, "web", ExecOptions{Command: []string{"exit", "0"}})
	w.ok(err)

	w.ok(w.e.Close())
	w.ok(killHeld(w.monitor, c.ID))
	w.monitor.work.Wait()
	w.open()
	w.until("exited", func() bool { return w.state("web") == Exited })
	if x, _ := w.e.Find("web"); x.Exit.Code != 137 {
		t.Errorf("%+v", x.Exit)
	}
	w.monitor.mu.Lock()
	if len(w.monitor.held) != 0 {
		t.Error("the monitor was not told to forget")
	}
	w.monitor.mu.Unlock()

	// The monitor died too: its exit record is all there is, and then not even that.
	for _, record := range []bool{true, false} {
		w.ok(w.e.Start(ctx, "web"))
		w.ok(w.e.Close())
		w.ok(killHeld(w.monitor, c.ID))
		w.monitor.work.Wait()
		w.monitor.held = map[string]*monitor.Held{}
		for len(w.monitor.exits) > 0 {
			<-w.monitor.exits
		}
		want := Exit{Code: 137, Signal: 9}
		if !record {
			w.ok(os.Remove(filepath.Join(w.dir, "containers", c.ID, "exit.json")))
			want = Exit{Code: 255, Unknown: true}
		}
		w.open()
		w.until("exited", func() bool { return w.state("web") == Exited })
		x, _ := w.e.Find("web")
		got := *x.Exit
		got.At = want.At
		if got != want {
			t.Errorf("%+v", got)
		}
	}
}

func killHeld(m *testMonitor, id string) error {
	m.mu.Lock()
	h := m.held[id]
	m.mu.Unlock()
	if h == nil {
		return errors.New("it is not held")
	}
	p, err := os.FindProcess(h.PID)
	if err != nil {
		return err
	}
	return p.Kill()
}

// What cannot be read is listed, can be removed, and keeps nobody else from being there.
func TestDead(t *testing.T) {
	w := newWorld(t)
	c := w.create("web", "sleep", false)
	w.create("other", "sleep", false)
	w.ok(w.e.Close())
	path := filepath.Join(w.dir, "containers", c.ID, recordFile)
	w.ok(os.WriteFile(path, []byte("{nonsense"), 0o600))
	w.open()
	name := "dead_" + c.ShortID()
	x, ok := w.e.Find(name)
	if !ok || x.State != Dead || !strings.Contains(x.Error, path) {
		t.Fatalf("%+v", x)
	}
	w.want(w.e.Start(t.Context(), name), Invalid)
	w.want(w.e.Set(t.Context(), name, "tty", "true"), Invalid)
	w.want(w.e.Rename(t.Context(), name, "x"), Invalid)
	w.ok(w.e.Remove(t.Context(), name, false))
	if len(w.e.List()) != 1 {
		t.Errorf("%d containers", len(w.e.List()))
	}
	// A record without a byte is a creation that a power failure undid.
	c, _ = w.e.Find("other")
	w.ok(w.e.Close())
	w.ok(os.Truncate(filepath.Join(w.dir, "containers", c.ID, recordFile), 0))
	w.open()
	if len(w.e.List()) != 0 {
		t.Errorf("%d containers", len(w.e.List()))
	}
}

func TestMany(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	const many = 20
	made := make(chan error, many)
	for range many {
		go func() {
			_, err := w.e.Create(ctx, New{Image: "box", Settings: map[string]string{"command": "sleep"}, Start: true})
			made <- err
		}()
	}
	for range many {
		w.ok(<-made)
	}
	list := w.e.List()
	if len(list) != many {
		t.Fatalf("%d containers", len(list))
	}
	ranges := map[uint32]bool{}
	for _, c := range list {
		st := readState(filepath.Join(w.dir, "containers", c.ID))
		ranges[st.Run.Range] = true
	}
	if len(ranges) != many {
		t.Errorf("%d ranges for %d containers", len(ranges), many)
	}
	w.ok(w.e.StopAll(ctx))
	for _, c := range w.e.List() {
		if c.State != Exited {
			t.Errorf("%s is %s", c.Name, c.State)
		}
	}
}
