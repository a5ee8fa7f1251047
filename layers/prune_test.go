package layers

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestPrune(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	base := layerOf(t, file{name: "base", content: noise(40, 1000)})
	s := openStore(t, t.TempDir(), Options{})
	pull := func(rest, content string) *Image {
		r.push(t, rest, imageOf(t, base, layerOf(t, file{name: "top", content: content})))
		return mustPull(t, s, r.ref(rest))
	}
	dangling := pull("acme/app:1", "old")
	pull("acme/app:1", "new")
	free := pull("acme/free:1", "free")
	held := pull("acme/held:1", "held")
	if err := s.Hold(held.ID, "one"); err != nil {
		t.Fatal(err)
	}
	u := s.Usage()
	if u.Images != 4 || u.Dangling != 1 || u.Active != 1 || u.Layers != 5 || u.Blobs != 13 || u.Shared != 3*1000 || u.Arriving != 0 {
		t.Errorf("usage is %+v", u)
	}
	for _, one := range s.ImageUsages() {
		if one.Shared != 1000 || one.Unique < 3 || one.Size != one.Shared+one.Unique {
			t.Errorf("an image's usage is %+v", one)
		}
	}
	for _, tt := range []struct {
		all               bool
		untagged, deleted int
	}{{false, 0, 1}, {true, 2, 2}, {true, 0, 0}} {
		dry, err := s.Prune(t.Context(), PruneOptions{All: tt.all, DryRun: true})
		if err != nil {
			t.Fatal(err)
		}
		if !tt.all {
			mustFind(t, s, dangling.ID)
		}
		got, err := s.Prune(t.Context(), PruneOptions{All: tt.all})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(dry.Untagged, got.Untagged) || !slices.Equal(dry.Deleted, got.Deleted) || dry.Bytes != got.Bytes {
			t.Errorf("said %+v, done %+v", dry, got)
		}
		if len(got.Untagged) != tt.untagged || len(got.Deleted) != tt.deleted || (got.Bytes == 0) != (tt.deleted == 0) {
			t.Errorf("it did %+v", got)
		}
	}
	if _, ok := s.Find(free.ID); ok {
		t.Error("an image nobody uses is still here")
	}
	if list := s.List(); len(list) != 1 || list[0].ID != held.ID {
		t.Errorf("the list is %v", list)
	}
	if l, b := names(t, s, "layers"), names(t, s, "blobs/sha256"); len(l) != 2 || len(b) != 4 {
		t.Errorf("layers are %v, blobs %v", l, b)
	}
}

// What only a container keeps that is about to go is told beforehand, and told again
// when the container has gone: it waits for that.
func TestPruneAfterContainers(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	s := openStore(t, t.TempDir(), Options{})
	var ids []string
	for _, rest := range []string{"acme/both:1", "acme/one:1"} {
		r.push(t, rest, imageOf(t, layerOf(t, file{name: "a", content: rest})))
		im := mustPull(t, s, r.ref(rest))
		ids = append(ids, im.ID)
		if err := s.Hold(im.ID, "goes"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Remove(t.Context(), im.Reference, true, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Hold(ids[0], "stays"); err != nil {
		t.Fatal(err)
	}
	leaving := []string{"goes"}
	if got, err := s.Prune(t.Context(), PruneOptions{Leaving: leaving}); err != nil || len(got.Deleted) != 0 {
		t.Errorf("while both are there it did %+v, %v", got, err)
	}
	dry, err := s.Prune(t.Context(), PruneOptions{DryRun: true, Leaving: leaving})
	if err != nil || !slices.Equal(dry.Deleted, ids[1:]) || dry.Bytes == 0 {
		t.Errorf("it would do %+v, %v", dry, err)
	}
	end := s.Linger(leaving)
	for _, id := range ids {
		s.Release(id, "goes")
	}
	got, err := s.Prune(t.Context(), PruneOptions{})
	if err != nil || !slices.Equal(got.Deleted, dry.Deleted) || got.Bytes != dry.Bytes {
		t.Errorf("it did %+v, %v, and said %+v", got, err, dry)
	}
	end()
	mustFind(t, s, ids[0])
	end = s.Linger([]string{"stays"})
	s.Release(ids[0], "stays")
	mustFind(t, s, ids[0])
	end()
	await(t, "the image to go without a prune", func() bool {
		_, ok := s.Find(ids[0])
		return !ok
	})
}

// With containers go only the images that nothing else keeps.
func TestPruneUnheld(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	s := openStore(t, t.TempDir(), Options{})
	pull := func(rest, content string) *Image {
		r.push(t, rest, imageOf(t, layerOf(t, file{name: "a", content: content})))
		return mustPull(t, s, r.ref(rest))
	}
	dangling := pull("acme/moves:1", "old")
	pull("acme/moves:1", "new")
	held := pull("acme/held:1", "held")
	if err := s.Hold(held.ID, "goes"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Remove(t.Context(), held.Reference, true, 0); err != nil {
		t.Fatal(err)
	}
	leaving := []string{"goes"}
	dry, err := s.Prune(t.Context(), PruneOptions{Unheld: true, DryRun: true, Leaving: leaving})
	if err != nil || !slices.Equal(dry.Deleted, []string{held.ID}) || dry.Bytes == 0 {
		t.Errorf("it would do %+v, %v", dry, err)
	}
	if got, err := s.Prune(t.Context(), PruneOptions{Unheld: true}); err != nil || len(got.Deleted) != 0 {
		t.Errorf("while the container is there it did %+v, %v", got, err)
	}
	end := s.Linger(leaving)
	s.Release(held.ID, "goes")
	got, err := s.Prune(t.Context(), PruneOptions{Unheld: true})
	end()
	if err != nil || !slices.Equal(got.Deleted, dry.Deleted) || got.Bytes != dry.Bytes {
		t.Errorf("it did %+v, %v, and said %+v", got, err, dry)
	}
	mustFind(t, s, dangling.ID)
}

// A pull that came to nothing leaves its place, and what has come, until it is pruned.
func TestPruneFailed(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	l := layerOf(t, file{name: "big", content: noise(4, 1<<20)})
	r.push(t, "acme/app:1", imageOf(t, l))
	r.push(t, "acme/other:1", imageOf(t, layerOf(t, file{name: "a", content: "a"})))
	s := openStore(t, t.TempDir(), Options{Retries: -1})
	other := mustPull(t, s, r.ref("acme/other:1"))
	r.setBlob(func(string) blobFault { return blobFault{cut: 400_000} })
	ref := r.ref("acme/app:1")
	if err := pullNow(t, s, ref); err == nil {
		t.Fatal("a broken connection without retries was no failure")
	}
	partial := names(t, s, "ingest")
	if im, ok := s.Find(ref); !ok || im.Status != Failed || len(partial) != 1 {
		t.Fatalf("%+v, %q", im, partial)
	}
	size := s.arrived("sha256:" + partial[0])
	for _, dry := range []bool{true, false} {
		got, err := s.Prune(t.Context(), PruneOptions{DryRun: dry})
		if err != nil || !slices.Equal(got.Dropped, []string{ref}) || len(got.Untagged)+len(got.Deleted) != 0 || got.Bytes != size || size == 0 {
			t.Errorf("dry %v: %+v, %v; %d bytes had come", dry, got, err, size)
		}
	}
	if _, ok := s.Find(ref); ok {
		t.Error("its place is still here")
	}
	if left := names(t, s, "ingest"); len(left) != 0 {
		t.Errorf("ingest holds %q", left)
	}
	mustFind(t, s, other.ID)
}

// What waits for a repair is no pull that came to nothing.
func TestPruneLeavesDamage(t *testing.T) {
	for name, c := range map[string]struct {
		r    record
		want bool
	}{
		"failed":  {record{Reference: "a", Status: Failed}, true},
		"pulling": {record{Reference: "a", Status: Pulling}, false},
		"lost":    {record{Reference: "a", Status: Failed, Lost: &stored{}}, false},
		"damaged": {record{Reference: "a", Status: Failed, rebuilt: true}, false},
	} {
		if got := (PruneOptions{}).means(&c.r); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Before it is known what containers keep, nothing goes.
func TestPruneBeforeSweep(t *testing.T) {
	s, im := newFilled(t)
	closeStore(t, s)
	s = openUnswept(t, s.dir, Options{})
	if got, err := s.Prune(t.Context(), PruneOptions{All: true}); err != nil || len(got.Untagged)+len(got.Deleted) != 0 {
		t.Errorf("it did %+v, %v", got, err)
	}
	mustFind(t, s, im.ID)
}

func TestPullAll(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	for _, tag := range []string{"1", "2", "3", "4", "5", "6"} {
		r.push(t, "acme/app:"+tag, imageOf(t, layerOf(t, file{name: "a", content: tag})))
	}
	s := openStore(t, t.TempDir(), Options{})
	repository := r.ref("acme/app")
	r.setBefore(func(req *http.Request) int {
		if strings.HasSuffix(req.URL.Path, "/manifests/4") {
			return http.StatusNotFound
		}
		return 0
	})
	here, err := s.PullAll(t.Context(), repository, PullOptions{}, nil)
	wantKind(t, err, NotFound)
	if len(here) != 5 {
		t.Errorf("here are %v", here)
	}
	r.setBefore(nil)
	begun := make(chan string, 100)
	here, err = s.PullAll(t.Context(), repository, PullOptions{}, func(name string) { begun <- name })
	if err != nil || len(here) != 6 || len(begun) != 6 || here[0] != repository+":1" {
		t.Errorf("here are %v, %v", here, err)
	}
	_, err = s.PullAll(t.Context(), repository+":1", PullOptions{}, nil)
	wantKind(t, err, Invalid)
	_, err = s.PullAll(t.Context(), r.ref("no/such"), PullOptions{}, nil)
	wantKind(t, err, NotFound)
}
