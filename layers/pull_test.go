package layers

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestPullSeveralLayers(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	img := imageOf(t,
		layerOf(t, file{name: "etc", dir: true}, file{name: "etc/a", content: "below"}),
		layerOf(t, file{name: "etc", dir: true}, file{name: "etc/a", content: "above"}),
		layerOf(t, file{name: "big", content: noise(1, 300_000)}),
	)
	r.push(t, "acme/app:1", img)
	var events []Event
	var mu sync.Mutex
	s := openStore(t, t.TempDir(), Options{Notify: func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, e)
	}})
	ref := r.ref("acme/app:1")
	im := mustPull(t, s, ref)
	if im.Status != Ready || im.ID != idOf(t, img) || im.Error != "" || im.Platform != "linux/amd64" {
		t.Errorf("image is %+v", im)
	}
	if !slices.Equal(im.Tags, []string{ref}) || im.Reference != ref {
		t.Errorf("tags %v, reference %s", im.Tags, im.Reference)
	}
	infos, err := s.Layers(ref)
	if err != nil || len(infos) != 3 {
		t.Fatalf("layers: %v, %v", infos, err)
	}
	if b, err := os.ReadFile(filepath.Join(infos[1].Path, "etc/a")); err != nil || string(b) != "above" {
		t.Errorf("the second layer has %q, %v", b, err)
	}
	raw, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Config(ref); err != nil || string(got) != string(raw) {
		t.Errorf("config is %s, %v", got, err)
	}
	rawManifest, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Manifest(ref); err != nil || string(got) != string(rawManifest) {
		t.Errorf("manifest is %s, %v", got, err)
	}
	if left := names(t, s, "staging"); len(left) > 0 {
		t.Errorf("staging holds %v", left)
	}
	if left := names(t, s, "ingest"); len(left) > 0 {
		t.Errorf("ingest holds %v", left)
	}
	if blobs := names(t, s, "blobs/sha256"); len(blobs) != 5 {
		t.Errorf("blobs are %v", blobs)
	}
	await(t, "events", func() bool { mu.Lock(); defer mu.Unlock(); return len(events) == 2 })
	if events[0].Action != ActionPulling || events[1].Action != ActionPulled || events[1].ID != im.ID {
		t.Errorf("events are %+v", events)
	}
}

func TestPullProgressText(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	l := layerOf(t, file{name: "a", content: "x"})
	img := imageOf(t, l)
	r.push(t, "acme/app:1", img)
	s := openStore(t, t.TempDir(), Options{})
	ref := r.ref("acme/app:1")
	mustPull(t, s, ref)
	p, ok := s.Progress(ref)
	if !ok {
		t.Fatal("no progress")
	}
	short := digestOf(t, l)[7:19]
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"1: Pulling from acme/app",
		short + ": Pulling fs layer",
		short + ": Downloading",
		short + ": Verifying Checksum",
		short + ": Download complete",
		short + ": Extracting",
		short + ": Pull complete",
		"Digest: " + digest.String(),
		"Status: Downloaded newer image for " + ref,
		"",
	}, "\n")
	if got := text(t, p); got != want {
		t.Errorf("progress is\n%s\nwant\n%s", got, want)
	}
	if _, ended := p.Changed(); !ended {
		t.Error("progress has not ended")
	}
	mustPull(t, s, ref)
	again, _ := s.Progress(ref)
	if got := text(t, again); !strings.Contains(got, "Status: Image is up to date for "+ref) {
		t.Errorf("second pull says\n%s", got)
	}
	r.push(t, "acme/other:2", imageOf(t, l, layerOf(t, file{name: "b", content: "y"})))
	mustPull(t, s, r.ref("acme/other:2"))
	other, _ := s.Progress(r.ref("acme/other:2"))
	if got := text(t, other); !strings.Contains(got, short+": Already exists\n") {
		t.Errorf("pull with a shared layer says\n%s", got)
	}
	if n := r.requestsOf(digestOf(t, l)); n != 1 {
		t.Errorf("the shared layer was asked for %d times", n)
	}
}

func TestPullBudget(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	r.push(t, "acme/app:1", imageOf(t, layerOf(t, file{name: "a"})))
	tests := []struct {
		name, ref string
		kind      Kind
	}{
		{"no such tag", r.ref("acme/app:nosuch"), NotFound},
		{"no such repository", r.ref("acme/nosuch"), NotFound},
		{"no registry", "127.0.0.1:1/acme/app", Unavailable},
		{"no reference", "Acme/App", Invalid},
		{"empty", "", Invalid},
	}
	s := openStore(t, t.TempDir(), Options{Retries: -1})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := s.Pull(t.Context(), tt.ref, PullOptions{Budget: time.Minute})
			wantKind(t, err, tt.kind)
			if len(s.List()) != 0 || len(names(t, s, "images")) != 0 {
				t.Errorf("it left %v and %v", s.List(), names(t, s, "images"))
			}
			if _, ok := s.Progress(tt.ref); ok {
				t.Error("it left its progress")
			}
		})
	}
	t.Run("later", func(t *testing.T) {
		ref := r.ref("acme/app:nosuch")
		if err := s.Pull(t.Context(), ref, PullOptions{}); err != nil {
			t.Fatal(err)
		}
		wantKind(t, s.Wait(t.Context(), ref), NotFound)
		im := mustFind(t, s, ref)
		if im.Status != Failed || im.Error == "" || im.Usable() {
			t.Errorf("image is %+v", im)
		}
		// Told again after a restart, in the same words.
		said := s.Wait(t.Context(), ref).Error()
		closeStore(t, s)
		s = openStore(t, s.dir, Options{Retries: -1})
		err := s.Wait(t.Context(), ref)
		wantKind(t, err, NotFound)
		if err.Error() != said {
			t.Errorf("after a restart: %q, before: %q", err, said)
		}
		r.push(t, "acme/app:nosuch", imageOf(t, layerOf(t, file{name: "now"})))
		if im := mustPull(t, s, ref); im.Status != Ready || im.Error != "" {
			t.Errorf("pulled again, image is %+v", im)
		}
	})
}

func TestPullInterruptedCaller(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	gate := make(chan struct{})
	entered := make(chan struct{}, 100)
	r.setBefore(func(*http.Request) int { entered <- struct{}{}; <-gate; return 0 })
	defer close(gate)
	s := openStore(t, t.TempDir(), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() { failed <- s.Pull(ctx, r.ref("acme/app:1"), PullOptions{Budget: time.Hour}) }()
	<-entered
	cancel()
	wantKind(t, <-failed, Cancelled)
	await(t, "the pull to be undone", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.pulls) == 0 })
	if len(s.List()) != 0 || len(names(t, s, "images")) != 0 {
		t.Errorf("it left %v", s.List())
	}
}

func TestConcurrentPullsShare(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	base := layerOf(t, file{name: "base", content: noise(2, 200_000)})
	const n = 6
	for i := range n {
		r.push(t, fmt.Sprintf("acme/app:%d", i), imageOf(t, base, layerOf(t, file{name: "own", content: fmt.Sprint(i)})))
	}
	gate := make(chan struct{})
	r.setBlob(func(digest string) blobFault {
		if digest == digestOf(t, base) {
			return blobFault{wait: gate}
		}
		return blobFault{}
	})
	s := openStore(t, t.TempDir(), Options{})
	for range 2 { // the second time joins
		for i := range n {
			if err := s.Pull(t.Context(), r.ref(fmt.Sprintf("acme/app:%d", i)), PullOptions{Budget: time.Minute}); err != nil {
				t.Fatal(err)
			}
		}
	}
	await(t, "every pull to want the base", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, u := range s.unpacks {
			if u.layer.Digest == digestOf(t, base) {
				return u.refs == n
			}
		}
		return false
	})
	for _, im := range s.List() {
		if im.Status != Pulling || im.Usable() || im.Total == 0 {
			t.Errorf("under way, image is %+v", im)
		}
	}
	close(gate)
	for i := range n {
		if err := s.Wait(t.Context(), r.ref(fmt.Sprintf("acme/app:%d", i))); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.requestsOf(digestOf(t, base)); got != 1 {
		t.Errorf("the base was asked for %d times", got)
	}
	if layers := names(t, s, "layers"); len(layers) != n+1 {
		t.Errorf("layers are %v", layers)
	}
	u := s.Usage()
	if u.Images != n || u.Layers != n+1 || u.Shared != (n-1)*200_000 {
		t.Errorf("usage is %+v", u)
	}
}

// A pull that is cancelled does not take from another what they shared.
func TestCancelSharedPull(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	base := layerOf(t, file{name: "base", content: noise(3, 100_000)})
	r.push(t, "acme/a:1", imageOf(t, base, layerOf(t, file{name: "a"})))
	r.push(t, "acme/b:1", imageOf(t, base, layerOf(t, file{name: "b"})))
	gate := make(chan struct{})
	r.setBlob(func(digest string) blobFault {
		if digest == digestOf(t, base) {
			return blobFault{wait: gate}
		}
		return blobFault{}
	})
	s := openStore(t, t.TempDir(), Options{})
	a, b := r.ref("acme/a:1"), r.ref("acme/b:1")
	for _, ref := range []string{a, b} {
		if err := s.Pull(t.Context(), ref, PullOptions{Budget: time.Minute}); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "both to want the base", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, u := range s.unpacks {
			if u.layer.Digest == digestOf(t, base) {
				return u.refs == 2
			}
		}
		return false
	})
	if err := s.Cancel(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if im := mustFind(t, s, a); im.Status != Failed || !strings.Contains(im.Error, "cancelled") {
		t.Errorf("the cancelled one is %+v", im)
	}
	close(gate)
	if err := s.Wait(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if im := mustPull(t, s, a); im.Status != Ready {
		t.Errorf("pulled again, it is %+v", im)
	}
}

func TestPullResumes(t *testing.T) {
	needRoot(t)
	const size, cut = 1 << 20, 400_000
	tests := []struct {
		name    string
		between func(t *testing.T, s *Store) *Store
		all     bool // the whole blob comes again
	}{
		{"at once", func(_ *testing.T, s *Store) *Store { return s }, false},
		{"after a restart", func(t *testing.T, s *Store) *Store {
			closeStore(t, s)
			return openStore(t, s.dir, Options{Retries: -1})
		}, false},
		{"from a damaged beginning", func(t *testing.T, s *Store) *Store {
			path := s.path("ingest", names(t, s, "ingest")[0])
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte("damage"), 1000); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			return s
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRegistry(t)
			l := layerOf(t, file{name: "big", content: noise(4, size)})
			r.push(t, "acme/app:1", imageOf(t, l))
			blobSize, err := l.Size()
			if err != nil {
				t.Fatal(err)
			}
			r.setBlob(func(string) blobFault { return blobFault{cut: cut} })
			s := openStore(t, t.TempDir(), Options{Retries: -1})
			ref := r.ref("acme/app:1")
			if err := pullNow(t, s, ref); err == nil {
				t.Fatal("a broken connection without retries was no failure")
			}
			partial := names(t, s, "ingest")
			if len(partial) != 1 {
				t.Fatalf("ingest holds %v", partial)
			}
			info, err := os.Stat(s.path("ingest", partial[0]))
			if err != nil {
				t.Fatal(err)
			}
			s = tt.between(t, s)
			r.setBlob(nil)
			before := r.bytesOf(digestOf(t, l))
			mustPull(t, s, ref)
			got, want := r.bytesOf(digestOf(t, l))-before, blobSize-info.Size()
			if tt.all {
				want += blobSize
			}
			if got != want {
				t.Errorf("%d bytes came again, want %d of %d", got, want, blobSize)
			}
		})
	}
}

func TestPullDamage(t *testing.T) {
	needRoot(t)
	good := layerOf(t, file{name: "good", content: "g"})
	tests := []struct {
		name  string
		kind  Kind
		image func(t *testing.T) v1.Image
		fault *blobFault
	}{
		{"corrupt blob", Corrupt, nil, &blobFault{corrupt: true}},
		{"missing blob", NotFound, nil, &blobFault{fail: 404}},
		{"forbidden blob", Denied, nil, &blobFault{fail: 403}},
		{"wrong diff ID", Corrupt, func(t *testing.T) v1.Image {
			return imageOf(t, good, lyingLayer{layerOf(t, file{name: "x", content: "y"})})
		}, nil},
		{"not a tar", Corrupt, func(t *testing.T) v1.Image {
			return imageOf(t, good, rawLayer(t, []byte(noise(5, 5000))))
		}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRegistry(t)
			img := imageOf(t, good, layerOf(t, file{name: "x", content: noise(6, 5000)}))
			if tt.image != nil {
				img = tt.image(t)
			}
			r.push(t, "acme/app:1", img)
			if tt.fault != nil {
				r.setBlob(onlyLayers(t, img, *tt.fault))
			}
			s := openStore(t, t.TempDir(), Options{Retries: -1})
			ref := r.ref("acme/app:1")
			wantKind(t, pullNow(t, s, ref), tt.kind)
			im := mustFind(t, s, ref)
			if im.Status != Failed || im.Error == "" {
				t.Errorf("image is %+v", im)
			}
			await(t, "staging and trash to be empty", func() bool {
				return len(names(t, s, "staging"))+len(names(t, s, "trash")) == 0
			})
			if got := names(t, s, "layers"); len(got) != 0 {
				t.Errorf("layers are %v", got)
			}
			if _, err := s.Remove(t.Context(), ref, false, 0); err != nil {
				t.Fatal(err)
			}
			if got := names(t, s, "ingest"); len(got) != 0 {
				t.Errorf("after its removal ingest holds %v", got)
			}
		})
	}
}

// A newer image of a name replaces the older one, which goes.
func TestPullReplaces(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	old := imageOf(t, layerOf(t, file{name: "old"}))
	r.push(t, "acme/app:1", old)
	s := openStore(t, t.TempDir(), Options{})
	ref := r.ref("acme/app:1")
	first := mustPull(t, s, ref)
	r.push(t, "acme/app:1", imageOf(t, layerOf(t, file{name: "new"})))
	second := mustPull(t, s, ref)
	if second.ID == first.ID || !second.Made.Equal(first.Made) {
		t.Errorf("first %+v, second %+v", first, second)
	}
	if _, ok := s.Find(first.ID); ok {
		t.Error("the old image is still here")
	}
	if got := names(t, s, "layers"); len(got) != 1 {
		t.Errorf("layers are %v", got)
	}
	// A failed pull leaves the image that is here.
	r.setBefore(func(*http.Request) int { return http.StatusNotFound })
	wantKind(t, pullNow(t, s, ref), NotFound)
	if im := mustFind(t, s, ref); im.Status != Ready || im.ID != second.ID || im.Error == "" {
		t.Errorf("after a failed pull the image is %+v", im)
	}
}

// A registry that is slower than the budget is no failure, and what comes of it
// stands in the image's error.
func TestPullBeyondBudget(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	gate := make(chan struct{})
	r.setBefore(func(*http.Request) int { <-gate; return 0 })
	s := openStore(t, t.TempDir(), Options{Retries: -1})
	ref := r.ref("acme/app:nosuch")
	if err := s.Pull(t.Context(), ref, PullOptions{Budget: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if im := mustFind(t, s, ref); im.Status != Waiting || im.Usable() {
		t.Errorf("the image is %+v", im)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantKind(t, s.Wait(ctx, ref), Cancelled)
	close(gate)
	wantKind(t, s.Wait(t.Context(), ref), NotFound)
	if im := mustFind(t, s, ref); im.Status != Failed || im.Error == "" {
		t.Errorf("the image is %+v", im)
	}
	wantKind(t, s.Wait(t.Context(), "nosuch"), NotFound)
	wantKind(t, s.Cancel(t.Context(), "nosuch"), NotFound)
	if err := s.Cancel(t.Context(), ref); err != nil {
		t.Errorf("nothing is under way, and cancelling it fails: %v", err)
	}
}

// Of two callers in their budget, one may be interrupted without the other's
// loss.
func TestPullOneOfTwoCallersInterrupted(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	r.push(t, "acme/app:1", imageOf(t, layerOf(t, file{name: "a"})))
	gate := make(chan struct{})
	r.setBefore(func(*http.Request) int { <-gate; return 0 })
	s := openStore(t, t.TempDir(), Options{})
	ref := r.ref("acme/app:1")
	ctx, cancel := context.WithCancel(t.Context())
	one, two := make(chan error, 1), make(chan error, 1)
	go func() { one <- s.Pull(ctx, ref, PullOptions{Budget: time.Hour}) }()
	go func() { two <- s.Pull(t.Context(), ref, PullOptions{Budget: time.Hour}) }()
	await(t, "both to wait", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		p := s.pulls[ref]
		return p != nil && p.callers == 2
	})
	cancel()
	wantKind(t, <-one, Cancelled)
	close(gate)
	if err := <-two; err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
}
