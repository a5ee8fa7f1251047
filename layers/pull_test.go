package layers

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hull/layers/reference"
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
	full := []string{
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
	}
	if got, want := string(p.Full(0)), strings.Join(full, "\n"); got != want {
		t.Errorf("progress for a terminal is\n%s\nwant\n%s", got, want)
	}
	plain := slices.Delete(slices.Delete(slices.Clone(full), 5, 6), 2, 3)
	if got, want := text(t, p), strings.Join(plain, "\n"); got != want {
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

// A registry that does not answer gets little of the budgets of further pulls,
// as long as it does not; other registries all of theirs.
func TestPullPatience(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	gate := make(chan struct{})
	r.setBefore(func(*http.Request) int { <-gate; return 0 })
	s := openStore(t, t.TempDir(), Options{Retries: -1})
	refs := map[string]reference.Reference{}
	for _, text := range []string{r.ref("acme/app:hangs"), r.ref("acme/other:1"), "elsewhere.example/acme/app:1"} {
		ref, err := parse("pull", text)
		if err != nil {
			t.Fatal(err)
		}
		refs[text] = ref
	}
	want := func(when, text string, want time.Duration) {
		t.Helper()
		if got := s.patience(refs[text], 10*time.Second); got != want {
			t.Errorf("%s, %s is waited for %v, want %v", when, text, got, want)
		}
	}
	hangs, other, elsewhere := r.ref("acme/app:hangs"), r.ref("acme/other:1"), "elsewhere.example/acme/app:1"
	want("before", other, 10*time.Second)
	if err := s.Pull(t.Context(), hangs, PullOptions{Budget: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	want("while it hangs", other, time.Second)
	want("while another hangs", elsewhere, 10*time.Second)
	close(gate)
	wantKind(t, s.Wait(t.Context(), hangs), NotFound)
	want("after it has answered", other, 10*time.Second)
}
