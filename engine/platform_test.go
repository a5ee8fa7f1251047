package engine

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hull/engine/launch"
)

func TestPlatformSetting(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.roots.images["box@linux/other"] = &Image{ID: "sha256:other", Reference: "box", Platform: "linux/other", Cmd: []string{"sleep"}}
	w.create("web", "sleep", false)
	is := func(want string) {
		t.Helper()
		if c, _ := w.e.Find("web"); c.ImageID != want {
			t.Errorf("it is made of %q, want %q", c.ImageID, want)
		}
	}
	w.want(w.e.Set(ctx, "web", "platform", "bad"), Invalid)
	w.want(w.e.Set(ctx, "web", AllSettings, `{"image":"box","platform":"bad"}`), Invalid)
	w.ok(w.e.Set(ctx, "web", "platform", "linux/other"))
	is("sha256:other")
	// One that is not here is looked for at the start.
	w.ok(w.e.Set(ctx, "web", "platform", "linux/none"))
	is("")
	w.want(w.e.Start(ctx, "web"), NotFound)
	w.ok(w.e.Set(ctx, "web", "platform", "linux/other"))
	w.ok(w.e.Start(ctx, "web"))
	w.want(w.e.Set(ctx, "web", "platform", ""), Busy)
	w.ok(w.e.Set(ctx, "web", "platform", "linux/other"))
	doc, err := w.e.Inspect("web")
	w.ok(err)
	if !strings.Contains(string(doc), `"platform": "linux/other"`) {
		t.Errorf("inspect says %s", doc)
	}
	w.ok(w.e.Recreate(ctx, "web"))
	is("sha256:other")
	w.ok(w.e.Stop(ctx, "web", 0))
	w.ok(w.e.Recreate(ctx, "web"))
	w.ok(w.e.Set(ctx, "web", "platform", ""))
	is("sha256:box")
	if n := w.roots.held(); n != 1 {
		t.Errorf("%d images are held", n)
	}
	_, err = w.e.Create(ctx, New{Name: "none", Image: "box", Start: true, Settings: map[string]string{"platform": "linux/none"}})
	w.want(err, NotFound)
}

func TestForAnotherMachine(t *testing.T) {
	unknown := &launch.Error{Kind: launch.NotExecutable, Text: `"/x" cannot be executed`, Err: unix.ENOEXEC}
	other := "linux/s390x"
	if runtime.GOARCH == "s390x" {
		other = "linux/amd64"
	}
	for _, r := range []struct {
		err      error
		platform string
		said     bool
	}{
		{unknown, other, true},
		{unknown, "linux/" + runtime.GOARCH, false},
		{unknown, "linux/" + runtime.GOARCH + "/v3", false},
		{unknown, "", false},
		{&launch.Error{Kind: launch.NotExecutable, Text: "x", Err: unix.EACCES}, other, false},
		{nil, other, false},
	} {
		err := forAnotherMachine(r.err, r.platform, "app:1")
		if !r.said {
			if !errors.Is(err, r.err) || err != nil && err.Error() != r.err.Error() {
				t.Errorf("of %v for %q comes %v", r.err, r.platform, err)
			}
			continue
		}
		for _, word := range []string{"/x", "app:1", r.platform, "linux/" + runtime.GOARCH, "binfmt_misc"} {
			if !strings.Contains(fmt.Sprint(err), word) {
				t.Errorf("the sentence lacks %s: %v", word, err)
			}
		}
		if KindOf(err) != NotExecutable {
			t.Errorf("its kind is %v", KindOf(err))
		}
	}
}
