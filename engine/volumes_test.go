package engine

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hull/engine/monitor"
)

// names are the volumes that there are.
func (w *world) volumes() []string {
	var names []string
	for _, v := range w.e.Volumes() {
		names = append(names, v.Name)
	}
	return names
}

// put makes a file of the image.
func (w *world) put(name string) {
	w.t.Helper()
	path := filepath.Join(w.roots.dir, name)
	w.ok(os.MkdirAll(filepath.Dir(path), 0o755))
	w.ok(os.WriteFile(path, []byte(name), 0o644))
}

func (w *world) has(volume, name string) bool {
	_, err := os.Stat(filepath.Join(w.dir, "volumes", volume, "data", name))
	return err == nil
}

func TestVolumes(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.put("seed/file")
	with := func(mounts string) map[string]string {
		return map[string]string{"command": "sleep", "mounts": mounts}
	}
	_, err := w.e.CreateVolume(t.Context(), "db", Owner{})
	w.ok(err)
	_, err = w.e.CreateVolume(t.Context(), "db", Owner{})
	w.want(err, Exists)
	_, err = w.e.CreateVolume(t.Context(), "not/one", Owner{})
	w.want(err, Invalid)
	_, err = w.e.Create(ctx, New{Name: "a", Image: "box", Settings: with("db:/data\nnew:/seed\n/seed/deep"), Start: true})
	w.ok(err)
	_, err = w.e.Create(ctx, New{Name: "b", Image: "box", Settings: with("db:/data")})
	w.ok(err)
	if v, _ := w.e.FindVolume("db"); !slices.Equal(v.Users, []string{"a", "b"}) || v.Anonymous {
		t.Errorf("%+v", v)
	}
	if len(w.volumes()) != 3 || !w.has("new", "file") {
		t.Errorf("%v", w.volumes())
	}
	w.want(w.e.RemoveVolume(t.Context(), "db", true), Busy)
	w.want(w.e.SpareVolume("new"), Busy)
	w.ok(w.e.Rename(ctx, "b", "c"))
	w.ok(w.e.Set(ctx, "a", "mounts", "")) // it runs with them still
	if v, _ := w.e.FindVolume("db"); !slices.Equal(v.Users, []string{"a", "c"}) {
		t.Errorf("%+v", v)
	}
	w.ok(w.e.Close())
	w.open() // another daemon knows as much
	if v, _ := w.e.FindVolume("db"); !slices.Equal(v.Users, []string{"a", "c"}) {
		t.Errorf("%+v", v)
	}
	w.want(w.e.RemoveVolume(t.Context(), "new", true), Busy)
	w.ok(w.e.Stop(ctx, "a", 0))
	w.ok(w.e.Remove(ctx, "c", false))
	w.want(w.e.RemoveVolume(t.Context(), "new", false), NotEmpty)
	w.ok(w.e.RemoveVolume(t.Context(), "new", true))
	w.ok(w.e.RemoveVolume(t.Context(), "db", false))
	w.ok(w.e.Remove(ctx, "a", false))
	if v := w.e.Volumes(); len(v) != 1 || !v[0].Anonymous || len(v[0].Users) > 0 {
		t.Errorf("%+v", v)
	}
}

// What somebody has put into a volume that a failed start has made is not lost with the container.
func TestVolumeOfFailedStart(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	for _, n := range []string{"empty", "full"} {
		_, err := w.e.Create(ctx, New{Name: n, Image: "box", Settings: map[string]string{"command": "nosuch", "mounts": n + ":/x\n/y"}})
		w.ok(err)
		w.want(w.e.Start(ctx, n), NotCommand)
	}
	if len(w.volumes()) != 4 {
		t.Fatal(w.volumes())
	}
	w.ok(os.WriteFile(filepath.Join(w.dir, "volumes/full/data/file"), nil, 0o600))
	w.ok(w.e.Remove(ctx, "empty", false))
	w.ok(w.e.Remove(ctx, "full", false))
	if diff := cmp.Diff([]string{"full"}, w.volumes()); diff != "" {
		t.Error(diff)
	}
}

// A container acts with its owner's rights, and a volume is its maker's.
func TestVolumeOwners(t *testing.T) {
	w := newWorld(t)
	_, err := w.e.CreateVolume(t.Context(), "roots", Owner{})
	w.ok(err)
	_, err = w.e.CreateVolume(t.Context(), "anns", Owner{UID: 7, GID: 7})
	w.ok(err)
	start := func(owner Owner, mounts string) error {
		c, err := w.e.Create(t.Context(), New{Image: "box", Settings: map[string]string{"mounts": mounts}, Owner: owner, Start: true})
		if err == nil {
			err = w.e.Remove(t.Context(), c.ID, true)
		}
		return err
	}
	w.want(start(Owner{UID: 7}, "roots:/x"), Denied)
	w.want(start(Owner{UID: 8}, "anns:/x"), Denied)
	w.want(start(Owner{UID: 8}, "new:/y\nanns:/x"), Denied)
	w.ok(start(Owner{UID: 7, GID: 9}, "anns:/x"))
	w.ok(start(Owner{}, "anns:/x\nroots:/y"))
	if diff := cmp.Diff([]string{"anns", "roots"}, w.volumes()); diff != "" {
		t.Error(diff)
	}
	c, err := w.e.Create(t.Context(), New{Image: "box", Owner: Owner{UID: 8}})
	w.ok(err)
	w.want(w.e.Set(t.Context(), c.ID, "mounts", "anns:/x"), Denied)
	w.ok(w.e.Set(t.Context(), c.ID, "mounts", "later:/x")) // one that is made meanwhile is found out at the start
	_, err = w.e.CreateVolume(t.Context(), "later", Owner{})
	w.ok(err)
	w.want(w.e.Start(t.Context(), c.ID), Denied)
	w.ok(w.e.RemoveVolume(t.Context(), "later", false))
	w.ok(w.e.Remove(t.Context(), c.ID, false))
	w.ok(start(Owner{UID: 8}, "made:/x"))
	if v, ok := w.e.FindVolume("made"); !ok || v.UID != 8 {
		t.Errorf("%+v", v)
	}
}

// A start whose volumes take long to fill is accepted, like one whose image takes long to come.
func TestSlowFilling(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.put("seed/file")
	w.roots.slowDown()
	n := New{Name: "web", Image: "box", Settings: map[string]string{"command": "sleep", "mounts": "v:/seed"}, Start: true}
	c, err := w.e.Create(ctx, n)
	w.ok(err)
	if c.State != Waiting {
		t.Fatalf("%+v", c)
	}
	w.ok(w.e.Start(ctx, "web")) // joins
	w.want(w.e.RemoveVolume(t.Context(), "v", true), Busy)
	w.roots.speedUp()
	w.until("running", func() bool { return w.state("web") == Up })
	if !w.has("v", "file") {
		t.Error("the volume is empty")
	}
	w.ok(w.e.Remove(ctx, "web", true))

	// A stop calls it off, a removal takes what was made for it along.
	w.roots.slowDown()
	n.Settings["mounts"] = "u:/seed\n/seed/x"
	_, err = w.e.Create(ctx, n)
	w.ok(err)
	w.ok(w.e.Stop(ctx, "web", -1))
	if s := w.state("web"); s != Created {
		t.Errorf("%s after the stop", s)
	}
	w.ok(w.e.Start(ctx, "web"))
	w.ok(w.e.Remove(ctx, "web", false))
	if diff := cmp.Diff([]string{"v"}, w.volumes()); diff != "" {
		t.Error(diff)
	}

	// Another daemon goes on with it.
	w.roots.slowDown()
	_, err = w.e.Create(ctx, n)
	w.ok(err)
	w.ok(w.e.Close())
	w.open()
	w.until("waiting again", func() bool { return w.state("web") == Waiting })
	w.roots.speedUp()
	w.until("running", func() bool { return w.state("web") == Up })
	if !w.has("u", "file") {
		t.Error("the volume is empty")
	}
	w.ok(w.e.Remove(ctx, "web", true))

	// Whoever is to be attached waits for it.
	w.roots.slowDown()
	near, far, err := monitor.NewStatus()
	w.ok(err)
	defer near.Close()
	type result struct {
		a   *Attachment
		err error
	}
	done := make(chan result, 1)
	go func() {
		_, a, err := w.e.Run(ctx, New{Name: "job", Image: "box", Settings: map[string]string{"command": "exit 3", "mounts": "t:/seed"}}, AttachOptions{Status: far})
		done <- result{a, err}
	}()
	w.until("waiting", func() bool { return w.state("job") == Waiting })
	w.roots.speedUp()
	r := <-done
	far.Close()
	w.ok(r.err)
	r.a.Close()
	if x, err := w.e.Wait(ctx, "job"); err != nil || x.Code != 3 || !w.has("t", "file") {
		t.Errorf("%+v, %v", x, err)
	}
}
