package engine

import (
	"testing"
)

// TestChown: what a container has decides who may get it, by its settings and by what runs.
func TestChown(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	alice := Owner{UID: 1000, GID: 100}
	w.create("web", "sleep", false)
	owner := func() Owner {
		c, _ := w.e.Find("web")
		return c.Owner
	}
	w.ok(w.e.Chown(ctx, "web", alice))
	if owner() != alice {
		t.Errorf("it belongs to %+v", owner())
	}
	// She may not have what is root's.
	w.want(w.e.Set(ctx, "web", "cap_add", "NET_RAW"), NeedsRoot)
	w.want(w.e.Set(ctx, "web", AllSettings, `{"image": "box", "command": ["sleep"], "privileged": true}`), NeedsRoot)
	w.want(w.e.Set(ctx, "web", AllSettings, `{"image": "box", "command": ["sleep"], "sysctls": ["kernel.shmmax=1"]}`), NeedsRoot)
	w.ok(w.e.Set(ctx, "web", "cap_drop", "CHOWN"))
	w.ok(w.e.Start(ctx, "web"))

	// What is root's cannot be given, not even where it is only what runs that has it.
	w.ok(w.e.Stop(ctx, "web", 0))
	w.ok(w.e.Chown(ctx, "web", Owner{}))
	w.ok(w.e.Set(ctx, "web", "cap_add", "NET_RAW"))
	w.want(w.e.Chown(ctx, "web", alice), NeedsRoot)
	if c, _ := w.e.Find("web"); !c.Reaches || c.Owner != (Owner{}) {
		t.Errorf("%+v", c)
	}
	w.ok(w.e.Start(ctx, "web"))
	w.ok(w.e.Set(ctx, "web", "cap_add", ""))
	w.want(w.e.Chown(ctx, "web", alice), NeedsRoot)
	w.ok(w.e.Stop(ctx, "web", 0))
	if c, _ := w.e.Find("web"); c.Reaches {
		t.Errorf("%+v", c)
	}
	w.ok(w.e.Chown(ctx, "web", alice))
	w.want(w.e.Chown(ctx, "nosuch", alice), NotFound)
}

// TestStartChecksTheOwner: a record may come from anywhere.
func TestStartChecksTheOwner(t *testing.T) {
	w := newWorld(t)
	c := w.create("web", "sleep", false)
	w.ok(w.e.Set(t.Context(), "web", "userns", "host"))
	w.ok(w.e.Close())
	rec, err := readRecord(w.e.containerDir(c.ID), c.ID)
	w.ok(err)
	rec.Owner = Owner{UID: 1000, GID: 100}
	w.ok(rec.write(w.e.containerDir(c.ID), false))
	w.open()
	w.want(w.e.Start(t.Context(), "web"), NeedsRoot)
}

// TestMayGive: whoever has the controls of another's container has not that owner's rights by it.
func TestMayGive(t *testing.T) {
	w := newWorld(t)
	roots := w.create("roots", "sleep", false)
	w.create("hers", "sleep", false)
	w.ok(w.e.Chown(t.Context(), "hers", Owner{UID: 1000, GID: 100}))
	w.ok(w.e.Set(t.Context(), roots.ID, "mounts", "roots:/had\n"))
	for name, uid := range map[string]uint32{"roots": 0, "ann": 1000, "bob": 1001} {
		_, err := w.e.CreateVolume(t.Context(), name, Owner{UID: uid})
		w.ok(err)
	}
	for _, tt := range []struct {
		by             uint32
		container      string
		setting, value string
		kept           bool
	}{
		{0, "roots", "privileged", "true", false},
		{1000, "roots", "privileged", "true", true},
		{1000, "roots", "privileged", "false", false},
		{1000, "roots", "cap_add", "ALL", true},
		{1000, "roots", "env", "A=1", false},
		{1000, "roots", "mounts", "/etc:/x", true},
		{1000, "roots", "mounts", "data:/x", true}, // it could be somebody's when the container starts
		{1000, "roots", "mounts", "roots:/x", true},
		{1000, "roots", "mounts", "roots:/had\nann:/x\n/y", false},
		{1000, "roots", "mounts", "bob:/x", true},
		{1000, "roots", AllSettings, `{"image": "box", "command": ["sleep"], "mounts": ["roots:/had", "type=volume,src=bob,dst=/x"]}`, true},
		{0, "roots", "mounts", "bob:/x", false},
		{1000, "hers", "mounts", "data:/x", false}, // the start looks at whose it is
		{1000, "roots", AllSettings, `{"image": "box", "command": ["sleep"], "mounts": ["/etc:/x"]}`, true},
		{1000, "roots", AllSettings, `{"image": "box", "command": ["sleep"], "privileged": true}`, true},
		{1000, "roots", AllSettings, `{"image": "box", "command": ["sleep"], "env": ["A=1"]}`, false},
		{1000, "hers", "mounts", "/etc:/x", false},
		{1000, "hers", "devices", "/dev/fuse", true},
		{1001, "hers", "mounts", "/etc:/x", true},
		{1001, "hers", "env", "A=1", false},
	} {
		err := w.e.MayGive(tt.container, Owner{UID: tt.by}, tt.setting, tt.value)
		if (KindOf(err) == NeedsRoot) != tt.kept || err != nil && !tt.kept {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

// TestReaches: whose container has files of the host, or what only root may have, its owner alone acts in.
func TestReaches(t *testing.T) {
	w := newWorld(t)
	w.create("web", "sleep", false)
	reaches := func() bool {
		c, _ := w.e.Find("web")
		return c.Reaches
	}
	for _, tt := range []struct {
		setting, value string
		want           bool
	}{
		{"mounts", "data:/x", false},
		{"mounts", "/etc:/x:ro", true},
		{"mounts", "type=bind,source=/etc,target=/x", true},
		{"mounts", "", false},
		{"privileged", "true", true},
		{"privileged", "", false},
		{"cap_add", "NET_RAW", true},
	} {
		w.ok(w.e.Set(t.Context(), "web", tt.setting, tt.value))
		if reaches() != tt.want {
			t.Errorf("%s %q: %v", tt.setting, tt.value, reaches())
		}
	}
	// What runs counts as well.
	w.ok(w.e.Start(t.Context(), "web"))
	w.ok(w.e.Set(t.Context(), "web", "cap_add", ""))
	if !reaches() {
		t.Error("it runs with more than others may have")
	}
	w.ok(w.e.Stop(t.Context(), "web", 0))
	if reaches() {
		t.Error("it has ended")
	}
}
