package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// A hand-made upper directory, with what overlay leaves in one, against a hand-made image.
func TestDifference(t *testing.T) {
	privileged(t)
	image, upper := t.TempDir(), t.TempDir()
	put := func(root, name string) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"etc/passwd", "etc/hosts", "var/a", "var/b", "var/sub/c", "gone/x"} {
		put(image, name)
	}
	for _, name := range []string{"etc/passwd", "etc/new", "var/b", "var/new", "opt/deep/file"} {
		put(upper, name)
	}
	whiteout := func(name string) {
		if err := unix.Mknod(filepath.Join(upper, name), unix.S_IFCHR, 0); err != nil {
			t.Fatal(err)
		}
	}
	whiteout("gone")
	whiteout("etc/hosts")
	whiteout("etc/never") // made and removed again
	if err := unix.Setxattr(filepath.Join(upper, "var"), "trusted.overlay.opaque", []byte("y"), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/", filepath.Join(upper, "link")); err != nil { // must not be followed
		t.Fatal(err)
	}
	d := &difference{ctx: t.Context(), todo: []string{"."}}
	for fd, dir := range map[*int]string{&d.image: image, &d.upper: upper} {
		f, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		*fd = int(f.Fd())
	}
	if err := d.walk(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range d.found {
		got = append(got, fmt.Sprintf("%c %s", c.Kind, c.Path))
	}
	slices.SortFunc(got, func(a, b string) int { return strings.Compare(a[2:], b[2:]) })
	want := []string{
		"C /etc", "D /etc/hosts", "A /etc/new", "C /etc/passwd", "D /gone", "A /link", "A /opt", "A /opt/deep",
		"A /opt/deep/file", "C /var", "D /var/a", "C /var/b", "A /var/new", "D /var/sub",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCommandsAreRemembered(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.roots.images["pathless"] = &Image{ID: "sha256:pathless", Cmd: []string{"sleep"}, Env: []string{"PATH=relative:"}}
	w.create("web", "sleep", false)
	asked := func() int { return int(w.launch.listed.Load()) }
	list := func(name string, want int) {
		t.Helper()
		names, err := w.e.Commands(ctx, name)
		w.ok(err)
		if len(names) != 2 {
			t.Errorf("%q", names)
		}
		if n := asked(); n != want {
			t.Errorf("it was listed %d times and should have been %d times", n, want)
		}
	}
	list("web", 1)
	list("web", 1)
	v, err := w.e.View(ctx, "web")
	w.ok(err)
	list("web", 2) // somebody may write
	list("web", 3)
	v.Release()
	v.Release() // a second time is nothing
	list("web", 4)
	list("web", 4)
	if !w.e.index.find("web").view.idle() {
		t.Error("the mount outlives the views")
	}
	if _, err := w.e.Create(ctx, New{Name: "empty"}); err != nil {
		t.Fatal(err)
	}
	if names, err := w.e.Commands(ctx, "empty"); err != nil || len(names) != 0 {
		t.Errorf("%q, %v without an image", names, err)
	}
	if _, err := w.e.Create(ctx, New{Name: "pathless", Image: "pathless"}); err != nil {
		t.Fatal(err)
	}
	if names, err := w.e.Commands(ctx, "pathless"); err != nil || len(names) != 0 {
		t.Errorf("%q, %v without a PATH", names, err)
	}
	_, err = w.e.View(ctx, "empty")
	w.want(err, Invalid)
	w.ok(w.e.Remove(ctx, "web", false))
	_, err = w.e.Commands(ctx, "web")
	w.want(err, NotFound)
}

// Another image takes the place of the one whose files somebody looks at.
func TestViewForgetsImage(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.roots.images["other"] = &Image{ID: "sha256:other", Reference: "other", Cmd: []string{"sleep"}}
	w.create("web", "sleep", false)
	old, err := w.e.View(ctx, "web")
	w.ok(err)
	w.ok(w.e.Set(ctx, "web", "image", "other"))
	if !w.e.index.find("web").view.idle() {
		t.Error("the other image's mount is still what a start would take")
	}
	fresh, err := w.e.View(ctx, "web")
	w.ok(err)
	old.Release() // of another mount: the new one stays
	if w.e.index.find("web").view.idle() {
		t.Error("the new mount is gone with the old view")
	}
	fresh.Release()
	if !w.e.index.find("web").view.idle() {
		t.Error("the mount outlives the views")
	}
}
