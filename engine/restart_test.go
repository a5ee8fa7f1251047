package engine

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"
)

// policed creates and starts a container with a restart policy.
func (w *world) policed(name, command, restart string) {
	w.t.Helper()
	_, err := w.e.Create(w.t.Context(), New{
		Name: name, Image: "box", Settings: map[string]string{"command": command, "restart": restart}, Start: true,
	})
	w.ok(err)
}

func (w *world) find(name string) *Container {
	w.t.Helper()
	c, ok := w.e.Find(name)
	if !ok {
		w.t.Fatalf("there is no container %s", name)
	}
	return c
}

// remount is the end of a mount and the beginning of the next: another monitor, which holds nothing.
func (w *world) remount() {
	w.t.Helper()
	w.ok(w.e.StopAll(w.t.Context()))
	w.ok(w.e.Close())
	w.life += "+"
	w.open()
}

func TestRestartPolicies(t *testing.T) {
	w := newWorld(t)
	w.policed("fails", "exit 3", "on-failure:2")
	w.policed("succeeds", "exit 0", "on-failure")
	w.policed("none", "exit 3", "no")
	w.policed("always", "exit 0", "always")
	w.until("all of it", func() bool {
		return w.state("fails") == Exited && w.state("succeeds") == Exited && w.state("none") == Exited && w.find("always").Restarts >= 3
	})
	for name, n := range map[string]int{"fails": 2, "succeeds": 0, "none": 0} {
		if c := w.find(name); c.Restarts != n {
			t.Errorf("%s was restarted %d times", name, c.Restarts)
		}
	}
	c := w.find("fails")
	if c.Exit.Code != 3 || !strings.Contains(c.Error, "as often as its restart policy (on-failure:2) says") {
		t.Errorf("%+v", c)
	}
	want := []string{
		"create fails", "start fails", "die fails 3", "start fails (on-failure:2, 1)", "die fails 3",
		"start fails (on-failure:2, 2)", "die fails 3",
	}
	if got := slices.DeleteFunc(w.told(), func(s string) bool { return !strings.Contains(s, "fails") }); !slices.Equal(got, want) {
		t.Errorf("events %q", got)
	}

	// Who starts it by hand begins the count anew.
	before := c.Started
	w.ok(w.e.Start(t.Context(), "fails"))
	w.until("the end of a second time", func() bool {
		c := w.find("fails")
		return c.State == Exited && c.Restarts == 2 && c.Started.After(before)
	})
	w.ok(w.e.Stop(t.Context(), "always", -1))
	if c := w.find("always"); c.State != Exited || c.Error != "" || !c.NextStart.IsZero() {
		t.Errorf("%+v", c)
	}
}

// A back-off is a state of its own: it is ended by what ends a run, and can be waited for.
func TestBackOffEnds(t *testing.T) {
	w := newWorld(t)
	long := func() { // of a pause that is long enough for a test
		w.policed("web", "exit 4", "always")
		w.until("a long pause", func() bool {
			c := w.find("web")
			return c.State == Restarting && c.Restarts >= 4 && time.Until(c.NextStart) > 500*time.Millisecond
		})
	}
	gone := func() {
		w.ok(w.e.Remove(t.Context(), "web", false))
	}
	ctx := t.Context()

	long()
	c := w.find("web")
	if c.Exit == nil || c.Exit.Code != 4 || c.PID != 0 || !strings.Contains(c.Error, "it ended with 4; by its restart policy (always) it is started again after a pause of") {
		t.Errorf("%+v", c)
	}
	w.want(w.e.Remove(ctx, "web", false), Running)
	w.want(w.e.Pause(ctx, "web"), NotRunning)
	w.want(w.e.Kill(ctx, "web", "USR1"), NotRunning)
	w.want(w.e.Set(ctx, "web", "auto_remove", "true"), Invalid)
	waited := make(chan error, 1)
	go func() {
		x, err := w.e.Wait(context.WithoutCancel(ctx), "web")
		if x.Code != 4 {
			t.Errorf("it waited for %+v", x)
		}
		waited <- err
	}()
	w.ok(w.e.Stop(ctx, "web", -1))
	if w.state("web") != Exited {
		t.Error("after the stop it is", w.state("web"))
	}
	w.ok(<-waited)
	gone()

	long()
	w.ok(w.e.Kill(ctx, "web", ""))
	gone()

	long()
	w.ok(w.e.Set(ctx, "web", "restart", "no"))
	if c := w.find("web"); c.State != Exited || c.Error != "" {
		t.Errorf("without its policy it is %s: %s", c.State, c.Error)
	}
	gone()

	long()
	w.ok(w.e.Set(ctx, "web", "command", "sleep"))
	w.ok(w.e.Start(ctx, "web")) // at once
	if c := w.find("web"); c.State != Up || c.Restarts != 0 {
		t.Errorf("%+v", c)
	}
	w.want(w.e.Remove(ctx, "web", false), Running)
	w.ok(w.e.Remove(ctx, "web", true))

	long()
	w.ok(w.e.Remove(ctx, "web", true))
	if got := w.roots.held(); got != 0 {
		t.Errorf("%d images are held", got)
	}
}

// What somebody ends stays ended, whatever the policy; what ends by itself does not.
func TestStoppedStays(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	for name, end := range map[string]func() error{
		"stop": func() error { return w.e.Stop(ctx, "stop", -1) },
		"kill": func() error { return w.e.Kill(ctx, "kill", "") },
		"term": func() error { return w.e.Kill(ctx, "term", "TERM") },
	} {
		w.policed(name, "sleep", "always")
		w.ok(end())
		w.until(name, func() bool { return w.state(name) == Exited })
	}
	w.policed("other", "sleep", "always")
	w.ok(w.e.Kill(ctx, "other", "HUP")) // which ends it, and might have meant anything
	w.until("it comes back", func() bool { c := w.find("other"); return c.State == Up && c.Restarts == 1 })
	w.ok(w.e.Restart(ctx, "other", -1))
	if c := w.find("other"); c.State != Up || c.Restarts != 0 {
		t.Errorf("%+v", c)
	}
}

// A start by the policy that fails is tried again.
func TestRestartFails(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.policed("web", "sleep", "on-failure")
	w.ok(w.e.Set(ctx, "web", "command", "badexec"))
	w.ok(w.e.Kill(ctx, "web", "HUP"))
	w.until("some failures", func() bool { return w.find("web").Restarts >= 3 })
	w.until("a pause", func() bool { return w.state("web") == Restarting })
	if c := w.find("web"); !strings.Contains(c.Error, "by its restart policy (on-failure)") {
		t.Errorf("%+v", c)
	}
	w.ok(w.e.Set(ctx, "web", "command", "sleep"))
	w.until("it runs", func() bool { return w.state("web") == Up })
	w.ok(w.e.Remove(ctx, "web", true))

	// A start by hand that fails is not.
	w.policed("web", "sleep", "always")
	w.ok(w.e.Stop(ctx, "web", -1))
	w.ok(w.e.Set(ctx, "web", "command", "badexec"))
	if err := w.e.Start(ctx, "web"); err == nil {
		t.Error("it started")
	}
	if c := w.find("web"); c.State != Exited || c.Restarts != 0 || c.Error == "" {
		t.Errorf("%+v", c)
	}
}

// With a new mount comes back what its policy says; the next daemon of the same mount starts nothing that somebody has
// stopped.
func TestComeBack(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.life = "first"
	w.ok(w.e.Close())
	w.open()
	policies := []string{"no", "on-failure", "always", "unless-stopped"}
	for _, p := range policies {
		w.policed("runs-"+p, "sleep", p)
		w.policed("stopped-"+p, "sleep", p)
		w.ok(w.e.Stop(ctx, "stopped-"+p, -1))
		_, err := w.e.Create(ctx, New{Name: "never-" + p, Image: "box", Settings: map[string]string{"command": "sleep", "restart": p}})
		w.ok(err)
	}
	w.policed("later", "sleep", "no") // it gets its policy after somebody has stopped it
	w.ok(w.e.Stop(ctx, "later", -1))
	w.ok(w.e.Set(ctx, "later", "restart", "unless-stopped"))
	check := func(when string, up ...string) {
		t.Helper()
		w.until(when, func() bool {
			for _, c := range w.e.List() {
				if (c.State == Up) != slices.Contains(up, c.Name) || c.State == Restarting {
					return false
				}
			}
			return true
		})
	}
	check("before", "runs-no", "runs-on-failure", "runs-always", "runs-unless-stopped")

	w.ok(w.e.Close()) // the daemon alone
	w.open()
	check("with the next daemon", "runs-no", "runs-on-failure", "runs-always", "runs-unless-stopped")

	w.remount()
	check("with a new mount", "runs-always", "stopped-always", "runs-unless-stopped")
	for _, c := range w.e.List() {
		if c.Restarts != 0 || c.State == Up && c.Error != "" {
			t.Errorf("%+v", c)
		}
	}
	w.remount()
	check("with one more", "runs-always", "stopped-always", "runs-unless-stopped")

	// What is started again is no longer stopped.
	w.ok(w.e.Start(ctx, "stopped-unless-stopped"))
	w.ok(w.e.Start(ctx, "later"))
	w.remount()
	check("with another", "runs-always", "stopped-always", "runs-unless-stopped", "stopped-unless-stopped", "later")
}

// Many that fail at once are started a few at a time, and none is forgotten.
func TestManyRestarts(t *testing.T) {
	w := newWorld(t)
	const many = 40
	for range many {
		w.policed("", "exit 1", "on-failure:3")
	}
	w.until("the end of all", func() bool {
		for _, c := range w.e.List() {
			if c.State != Exited || c.Restarts != 3 {
				return false
			}
		}
		return true
	})
}

// A start by the policy may have to wait, for files that are copied into a volume; it can be called off there, too.
func TestRestartWaits(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	again := func(volume string) { // a run ends, and the next has to wait
		w.ok(w.e.Set(ctx, "web", "mounts", volume+":/files"))
		w.roots.slowDown()
		w.ok(w.e.Kill(ctx, "web", "HUP"))
		w.until("it waits", func() bool { return w.state("web") == Waiting })
	}
	w.policed("web", "sleep", "unless-stopped")
	again("v")
	w.roots.speedUp()
	w.until("it runs", func() bool { return w.state("web") == Up })
	if n := w.find("web").Restarts; n != 1 {
		t.Errorf("it was restarted %d times", n)
	}
	again("w")
	w.ok(w.e.Stop(ctx, "web", -1))
	w.roots.speedUp()
	if c := w.find("web"); c.State != Exited || !c.NextStart.IsZero() {
		t.Errorf("%+v", c)
	}
	w.life = "another"
	w.ok(w.e.Close())
	w.open()
	if s := w.state("web"); s != Exited {
		t.Errorf("with a new mount it is %s, and somebody had stopped it", s)
	}
	w.ok(w.e.Remove(ctx, "web", false))
}
