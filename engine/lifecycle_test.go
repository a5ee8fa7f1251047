package engine

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
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
