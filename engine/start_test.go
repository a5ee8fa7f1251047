package engine

import (
	"strings"
	"testing"
)

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
