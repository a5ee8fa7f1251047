package engine

import (
	"context"
	"strings"
	"testing"
	"time"
)

// stuckWorld is one in which no process ends before release is called.
func stuckWorld(t *testing.T) (w *world, release func()) {
	w = newWorld(t)
	w.e.endWithin = 50 * time.Millisecond
	w.monitor.stuck = make(chan struct{})
	released := false
	release = func() {
		if !released {
			released = true
			close(w.monitor.stuck)
		}
	}
	t.Cleanup(release)
	return w, release
}

// Who wants a container to end whose process waits in the kernel is told why it does not. When it ends after all, that
// is the end of a run.
func TestStuck(t *testing.T) {
	w, release := stuckWorld(t)
	ctx := t.Context()
	w.create("web", "sleep", true)
	for what, do := range map[string]func() error{
		"kill":    func() error { return w.e.Kill(ctx, "web", "KILL") },
		"stop":    func() error { return w.e.Stop(ctx, "web", 0) },
		"restart": func() error { return w.e.Restart(ctx, "web", 0) },
	} {
		err := do()
		w.want(err, Busy)
		if !strings.Contains(err.Error(), "after SIGKILL") || !strings.Contains(err.Error(), "remove force") {
			t.Errorf("%s: %v", what, err)
		}
	}
	c := w.find("web")
	if !c.State.Alive() || !strings.Contains(c.Error, "has not ended") {
		t.Errorf("%+v", c)
	}
	waited := make(chan error, 1)
	go func() {
		_, err := w.e.Wait(context.WithoutCancel(ctx), "web")
		waited <- err
	}()
	release()
	w.ok(<-waited)
	if c := w.find("web"); c.State != Exited || c.Exit.Code != 143 && c.Exit.Code != 137 || c.Error != "" {
		t.Errorf("%+v", c)
	}
	w.ok(w.e.Remove(ctx, "web", false))
}

// It can be removed, and its name used again; what the process has is given back when it ends.
func TestStuckRemoved(t *testing.T) {
	w, release := stuckWorld(t)
	ctx := t.Context()
	for _, known := range []bool{false, true} {
		w.create("web", "sleep", true)
		if known {
			w.want(w.e.Stop(ctx, "web", 0), Busy)
		}
		w.want(w.e.Remove(ctx, "web", false), Running)
		w.ok(w.e.Remove(ctx, "web", true))
		if s := w.state("web"); s != "gone" {
			t.Errorf("it is %s", s)
		}
	}
	if n := w.groups.count(); n != 0 {
		w.until("the groups of ended processes go", func() bool { return w.groups.count() == 0 })
	}
	if n := w.roots.held(); n != 0 {
		t.Errorf("%d images are held", n)
	}
	release()
	w.until("their places are given back", func() bool {
		w.links.mu.Lock()
		defer w.links.mu.Unlock()
		return len(w.links.held) == 0
	})
	w.create("web", "sleep", true)
	w.ok(w.e.Remove(ctx, "web", true))
}
