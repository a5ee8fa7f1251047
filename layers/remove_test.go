package layers

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// newFilled is a store with one pulled image, and its reference.
func newFilled(t *testing.T) (*Store, *Image) {
	t.Helper()
	needRoot(t)
	r := newRegistry(t)
	r.push(t, "acme/app:1", imageOf(t, layerOf(t, file{name: "a"}), layerOf(t, file{name: "b"})))
	s := openStore(t, t.TempDir(), Options{})
	return s, mustPull(t, s, r.ref("acme/app:1"))
}

func TestRemoveRules(t *testing.T) {
	tests := []struct {
		name     string
		tags     []string // beside the one pulled
		held     bool
		remove   func(im *Image) string
		force    bool
		kind     Kind // -1: none
		untagged int
		deleted  bool
		stays    bool // by its ID
	}{
		{"last tag", nil, false, ref, false, -1, 1, true, false},
		{"one of two tags", []string{"app:2"}, false, ref, false, -1, 1, false, true},
		{"one of two tags, held", []string{"app:2"}, true, ref, false, -1, 1, false, true},
		{"last tag, held", nil, true, ref, false, Busy, 0, false, true},
		{"last tag, held, forced", nil, true, ref, true, -1, 1, false, true},
		{"by ID", nil, false, id, false, -1, 1, true, false},
		{"by short ID", nil, false, shortID, false, -1, 1, true, false},
		{"by bare ID", nil, false, bareID, false, -1, 1, true, false},
		{"by digest that only the tag has", nil, false, byDigest, false, Busy, 0, false, true},
		{"by digest that only the tag has, forced", nil, false, byDigest, true, Busy, 0, false, true},
		{"by ID, two tags", []string{"app:2"}, false, id, false, Busy, 0, false, true},
		{"by ID, two tags, forced", []string{"app:2"}, false, id, true, -1, 2, true, false},
		{"by ID, two tags, held, forced", []string{"app:2"}, true, id, true, -1, 2, false, true},
		{"by ID, held", nil, true, id, false, Busy, 0, false, true},
		{"no such", nil, false, func(*Image) string { return "nosuch" }, true, NotFound, 0, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, im := newFilled(t)
			for _, tag := range tt.tags {
				if err := s.Tag(t.Context(), im.Reference, tag, false, 0); err != nil {
					t.Fatal(err)
				}
			}
			if tt.held {
				if err := s.Hold(im.ID, "c0ffee"); err != nil {
					t.Fatal(err)
				}
			}
			result, err := s.Remove(t.Context(), tt.remove(im), tt.force, 0)
			if tt.kind >= 0 {
				wantKind(t, err, tt.kind)
				var e *Error
				if tt.held && tt.kind == Busy && (!errors.As(err, &e) || !slices.Equal(e.Holders, []string{"c0ffee"})) {
					t.Errorf("the error names the holders %v", e.Holders)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if len(result.Untagged) != tt.untagged || slices.Contains(result.Deleted, im.ID) != tt.deleted {
				t.Errorf("it did %+v", result)
			}
			_, stays := s.Find(im.ID)
			if stays != tt.stays {
				t.Errorf("the image is here: %v", stays)
			}
			want := 2
			if !tt.stays {
				want = 0
			}
			if got := names(t, s, "layers"); len(got) != want {
				t.Errorf("layers are %v", got)
			}
			await(t, "the trash to be empty", func() bool { return len(names(t, s, "trash")) == 0 })
		})
	}
}

func ref(im *Image) string      { return im.Reference }
func id(im *Image) string       { return im.ID }
func shortID(im *Image) string  { return im.ID[len("sha256:"):][:12] }
func bareID(im *Image) string   { return im.ID[len("sha256:"):] }
func byDigest(im *Image) string { return im.Reference[:len(im.Reference)-len(":1")] + "@" + im.Digest }

// A digest beside a tag is a reference of its own, made without asking the registry
// and removed without touching the tag.
func TestReferenceByDigest(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	r.push(t, "acme/app:1", imageOf(t, layerOf(t, file{name: "a"})))
	s := openStore(t, t.TempDir(), Options{})
	im := mustPull(t, s, r.ref("acme/app:1"))
	other := byDigest(im)
	r.Close()
	if err := s.Pull(t.Context(), other, PullOptions{Budget: time.Minute}); err != nil {
		t.Fatal(err)
	}
	got, ok := s.Find(other)
	if !ok || got.Reference != other || got.ID != im.ID || got.Status != Ready || !slices.Equal(got.Tags, []string{im.Reference, other}) {
		t.Fatalf("it is %+v, %v", got, ok)
	}
	p, ok := s.Progress(other)
	if !ok || p.Size() == 0 {
		t.Error("nothing says what became of the pull")
	}
	closeStore(t, s)
	s = openStore(t, s.dir, Options{})
	if got, ok := s.Find(other); !ok || got.Reference != other {
		t.Fatalf("after a restart it is %+v, %v", got, ok)
	}
	result, err := s.Remove(t.Context(), other, false, 0)
	if err != nil || !slices.Equal(result.Untagged, []string{other}) || len(result.Deleted) > 0 {
		t.Errorf("it did %+v, %v", result, err)
	}
	if list := s.List(); len(list) != 1 || list[0].Reference != im.Reference {
		t.Errorf("the list is %v", list)
	}
	_, err = s.Remove(t.Context(), other, false, 0)
	wantKind(t, err, Busy)
}

// An image that lost its tags lives as long as its containers, also over
// restarts.
func TestHeldImageWithoutTags(t *testing.T) {
	s, im := newFilled(t)
	hold := func() {
		if err := s.Hold(im.ID, "one"); err != nil {
			t.Fatal(err)
		}
	}
	hold()
	if _, err := s.Remove(t.Context(), im.Reference, true, 0); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		got, ok := s.Find(im.ID)
		if !ok || got.Reference != "" || len(got.Tags) != 0 || !got.Usable() {
			t.Fatalf("found %+v, %v", got, ok)
		}
		if list := s.List(); len(list) != 1 {
			t.Errorf("the list is %v", list)
		}
		if _, err := s.ImageConfig(im.ID); err != nil {
			t.Error(err)
		}
		_, err := s.Remove(t.Context(), im.ID, true, 0)
		wantKind(t, err, Busy)
	}
	check()
	closeStore(t, s)
	s = openUnswept(t, s.dir, Options{})
	hold()
	if err := s.Sweep(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	check()
	closeStore(t, s)
	s = openUnswept(t, s.dir, Options{})
	if err := s.Sweep(t.Context(), func(id string) bool { return id == im.ID }); err != nil {
		t.Fatal(err)
	}
	hold()
	check()
	// A tag makes it an ordinary image again.
	if err := s.Tag(t.Context(), im.ID, "app:3", false, 0); err != nil {
		t.Fatal(err)
	}
	if list := s.List(); len(list) != 1 || list[0].Reference != "app:3" {
		t.Errorf("the list is %+v", list)
	}
	if _, err := s.Remove(t.Context(), "app:3", true, 0); err != nil {
		t.Fatal(err)
	}
	check()
	s.Release(im.ID, "one")
	await(t, "the image to go with its last container", func() bool { _, ok := s.Find(im.ID); return !ok })
	await(t, "its layers to go", func() bool { return len(names(t, s, "layers")) == 0 })
	if err := s.Hold(im.ID, "two"); err == nil {
		t.Error("an image that is gone could be held")
	}
}

// Before Sweep nothing goes that a container may turn out to keep.
func TestRemoveBeforeSweep(t *testing.T) {
	s, im := newFilled(t)
	closeStore(t, s)
	s = openUnswept(t, s.dir, Options{})
	if _, err := s.Remove(t.Context(), im.Reference, false, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Hold(im.ID, "one"); err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	m, err := s.Mount(t.Context(), im.ID, nil, nil, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
}

func TestSweepDropsWhatNobodyHolds(t *testing.T) {
	s, im := newFilled(t)
	if err := s.Hold(im.ID, "one"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Remove(t.Context(), im.Reference, true, 0); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	s = openStore(t, s.dir, Options{})
	if _, ok := s.Find(im.ID); ok {
		t.Error("the image without tags and containers is here")
	}
	if got := slices.Concat(names(t, s, "images"), names(t, s, "layers"), names(t, s, "blobs/sha256")); len(got) != 0 {
		t.Errorf("the store holds %v", got)
	}
}

// Removing a name ends its pull.
func TestRemoveWhilePulling(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	img := imageOf(t, layerOf(t, file{name: "a", content: noise(8, 1000)}))
	r.push(t, "acme/app:1", img)
	gate := make(chan struct{})
	defer close(gate)
	r.setBlob(onlyLayers(t, img, blobFault{wait: gate}))
	s := openStore(t, t.TempDir(), Options{})
	ref := r.ref("acme/app:1")
	if err := s.Pull(t.Context(), ref, PullOptions{Budget: time.Minute}); err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() { waited <- s.Wait(t.Context(), ref) }()
	wantKind(t, s.Tag(t.Context(), ref, "x", false, 0), Busy)
	if _, err := s.Remove(t.Context(), ref, false, 0); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil && KindOf(err) != Cancelled && KindOf(err) != NotFound {
		t.Errorf("who waited got %v", err)
	}
	if _, ok := s.Find(ref); ok {
		t.Error("it is still here")
	}
	if got := slices.Concat(names(t, s, "images"), names(t, s, "ingest"), names(t, s, "staging")); len(got) != 0 {
		t.Errorf("it left %v", got)
	}
}

// What a pull wants survives a close in its midst and is taken up by Sweep.
func TestInterruptedPullIsTakenUp(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	img := imageOf(t, layerOf(t, file{name: "a", content: noise(9, 1000)}))
	r.push(t, "acme/app:1", img)
	r.setBefore(func(*http.Request) int { return 0 })
	gate := make(chan struct{})
	r.setBlob(onlyLayers(t, img, blobFault{wait: gate}))
	s := openStore(t, t.TempDir(), Options{})
	ref := r.ref("acme/app:1")
	if err := s.Pull(t.Context(), ref, PullOptions{Budget: time.Minute, By: 1234}); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	if err := s.Pull(t.Context(), ref, PullOptions{}); KindOf(err) != Cancelled || !errors.Is(err, errClosed) {
		t.Errorf("a closed store answers %v", err)
	}
	s = openUnswept(t, s.dir, Options{})
	if im := mustFind(t, s, ref); im.Status != Waiting || im.By != 1234 {
		t.Errorf("before Sweep it is %+v", im)
	}
	close(gate)
	if err := s.Sweep(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if im := mustFind(t, s, ref); im.Status != Ready || im.By != 1234 {
		t.Errorf("afterwards it is %+v", im)
	}
}

// TestSwept is told of the layers that go, and not of those that another image has.
func TestSwept(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	shared, own := layerOf(t, file{name: "shared"}), layerOf(t, file{name: "own"})
	r.push(t, "acme/app:1", imageOf(t, shared, own))
	r.push(t, "acme/base:1", imageOf(t, shared))
	swept := make(chan string, 10)
	s := openStore(t, t.TempDir(), Options{Swept: func(id string) { swept <- id }})
	app, base := mustPull(t, s, r.ref("acme/app:1")), mustPull(t, s, r.ref("acme/base:1"))
	for _, of := range []struct {
		im   *Image
		goes v1.Layer
	}{{app, own}, {base, shared}} {
		want, err := of.goes.DiffID()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Remove(t.Context(), of.im.Reference, false, 0); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-swept:
			if got != want.String() {
				t.Errorf("removing %s swept %s, want %s", of.im.Reference, got, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("nothing was swept with %s", of.im.Reference)
		}
	}
	if len(swept) > 0 {
		t.Errorf("%s was swept, too", <-swept)
	}
}
