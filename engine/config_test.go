package engine

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

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
