package layers

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// pushNow pushes and waits for the end.
func pushNow(t testing.TB, s *Store, ref string) error {
	t.Helper()
	if err := s.Push(t.Context(), ref, PushOptions{}); err != nil {
		return err
	}
	return s.Wait(t.Context(), ref)
}

// digestThere is the digest of a reference in the registry.
func digestThere(t testing.TB, r *testRegistry, rest string) string {
	t.Helper()
	ref, err := name.ParseReference(r.ref(rest))
	if err != nil {
		t.Fatal(err)
	}
	d, err := remote.Head(ref)
	if err != nil {
		t.Fatal(err)
	}
	return d.Digest.String()
}

func TestPush(t *testing.T) {
	needRoot(t)
	r, other := newRegistry(t), newRegistry(t)
	l := layerOf(t, file{name: "a", content: noise(20, 10_000)})
	r.push(t, "acme/app:1", imageOf(t, l))
	s := openStore(t, t.TempDir(), Options{})
	im := mustPull(t, s, r.ref("acme/app:1"))
	for _, target := range []string{other.ref("mine/app:2"), r.ref("else/app:3")} {
		if err := s.Tag(t.Context(), im.ID, target, false, 0); err != nil {
			t.Fatal(err)
		}
		if err := pushNow(t, s, target); err != nil {
			t.Fatal(err)
		}
		got := mustFind(t, s, target)
		if got.Status != Ready || got.Error != "" {
			t.Errorf("the image is %+v", got)
		}
		p, ok := s.Progress(target)
		if !ok {
			t.Fatal("no progress")
		}
		lines := text(t, p)
		for _, want := range []string{"The push refers to repository [", ": Preparing\n", "digest: " + im.Digest + " size: "} {
			if !strings.Contains(lines, want) {
				t.Errorf("progress lacks %q: %s", want, lines)
			}
		}
	}
	if got := digestThere(t, other, "mine/app:2"); got != im.Digest {
		t.Errorf("there it has the digest %s, here %s", got, im.Digest)
	}
	if got := digestThere(t, r, "else/app:3"); got != im.Digest {
		t.Errorf("there it has the digest %s, here %s", got, im.Digest)
	}
	// Pushed again, all is there.
	if err := pushNow(t, s, other.ref("mine/app:2")); err != nil {
		t.Fatal(err)
	}
	p, _ := s.Progress(other.ref("mine/app:2"))
	if lines := text(t, p); !strings.Contains(lines, ": Layer already exists\n") {
		t.Errorf("progress is %s", lines)
	}
	// What was pushed is known to be there, over a restart too.
	closeStore(t, s)
	s = openStore(t, s.dir, Options{})
	if got := s.sourcesOf(digestOf(t, l)); len(got) != 3 {
		t.Errorf("the layer's sources are %v", got)
	}
	if got := s.from(r.host, digestOf(t, l)); len(got) != 2 || got[0] != "acme/app" {
		t.Errorf("the registry's repositories are %v", got)
	}
}

// A compressed layer that is not here is fetched again from where it came.
func TestPushFetchesAgain(t *testing.T) {
	needRoot(t)
	r, other := newRegistry(t), newRegistry(t)
	l := layerOf(t, file{name: "a", content: noise(21, 10_000)})
	r.push(t, "acme/app:1", imageOf(t, l))
	s := openStore(t, t.TempDir(), Options{})
	im := mustPull(t, s, r.ref("acme/app:1"))
	if err := os.Remove(s.blobPath(digestOf(t, l))); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	s = openStore(t, s.dir, Options{})
	target := other.ref("acme/app:1")
	if err := s.Tag(t.Context(), im.ID, target, false, 0); err != nil {
		t.Fatal(err)
	}
	if err := pushNow(t, s, target); err != nil {
		t.Fatal(err)
	}
	if got := digestThere(t, other, "acme/app:1"); got != im.Digest || !s.hasBlob(digestOf(t, l)) {
		t.Errorf("there it has the digest %s, here %s", got, im.Digest)
	}
	if got := names(t, s, "ingest"); len(got) != 0 {
		t.Errorf("ingest holds %v", got)
	}
}

func TestPushFails(t *testing.T) {
	needRoot(t)
	r, other := newRegistry(t), newRegistry(t)
	l := layerOf(t, file{name: "a", content: noise(22, 10_000)})
	r.push(t, "acme/app:1", imageOf(t, l))
	s := openStore(t, t.TempDir(), Options{})
	ref := r.ref("acme/app:1")
	im := mustPull(t, s, ref)
	wantKind(t, pushNow(t, s, "nosuch"), NotFound)
	wantKind(t, pushNow(t, s, "No/Such"), Invalid)
	wantKind(t, pushNow(t, s, byDigest(im)), Invalid)
	r.setBefore(func(req *http.Request) int {
		if req.Method == http.MethodPut || req.Method == http.MethodPost {
			return http.StatusForbidden
		}
		return 0
	})
	target := r.ref("acme/denied:1")
	if err := s.Tag(t.Context(), im.ID, target, false, 0); err != nil {
		t.Fatal(err)
	}
	wantKind(t, pushNow(t, s, target), Denied)
	if got := mustFind(t, s, target); got.Status != Ready || got.Error == "" || !got.Usable() {
		t.Errorf("after a failed push it is %+v", got)
	}
	wantKind(t, s.Wait(t.Context(), target), Denied)
	// Neither here nor to be had.
	r.setBefore(nil)
	if err := os.Remove(s.blobPath(digestOf(t, l))); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	s = openStore(t, s.dir, Options{Retries: -1})
	r.setBlob(func(string) blobFault { return blobFault{fail: http.StatusNotFound} })
	far := other.ref("acme/app:1")
	if err := s.Tag(t.Context(), im.ID, far, false, 0); err != nil {
		t.Fatal(err)
	}
	wantKind(t, pushNow(t, s, far), NotFound)
}

// TestPushThrough: a name by which a push to another was asked for waits for it, and tells how it ended.
func TestPushThrough(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	r.push(t, "acme/app:1", imageOf(t, layerOf(t, file{name: "a", content: noise(24, 10_000)})))
	s := openStore(t, t.TempDir(), Options{})
	name, target := r.ref("acme/app:1"), r.ref("acme/other:1")
	im := mustPull(t, s, name)
	asked, answer := make(chan struct{}, 16), make(chan int, 16)
	r.setBefore(func(req *http.Request) int {
		if req.Method != http.MethodPut && req.Method != http.MethodPost {
			return 0
		}
		asked <- struct{}{}
		select {
		case status := <-answer:
			return status
		case <-req.Context().Done():
			return http.StatusForbidden
		}
	})
	begin := func() chan error {
		t.Helper()
		if err := s.Tag(t.Context(), im.ID, target, true, 0); err != nil {
			t.Fatal(err)
		}
		if err := s.Push(t.Context(), target, PushOptions{Through: name}); err != nil {
			t.Fatal(err)
		}
		waited := make(chan error, 1)
		go func() { waited <- s.Wait(t.Context(), name) }()
		<-asked
		return waited
	}
	waited := begin()
	if got := mustFind(t, s, name); got.Status != Ready {
		t.Errorf("meanwhile its own name is %+v", got)
	}
	answer <- http.StatusForbidden
	wantKind(t, <-waited, Denied)
	wantKind(t, s.Wait(t.Context(), name), Denied)
	if got := mustFind(t, s, name); got.Error == "" || got.Error != mustFind(t, s, target).Error {
		t.Errorf("after a failure it is %+v", got)
	}
	waited = begin()
	if err := s.Cancel(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	wantKind(t, <-waited, Cancelled)
	waited = begin()
	close(answer) // 0: go on
	if err := <-waited; err != nil {
		t.Error(err)
	}
	if got := mustFind(t, s, name); got.Error != "" {
		t.Errorf("after a success it is %+v", got)
	}
}

func TestPushCancelledAndRemoved(t *testing.T) {
	needRoot(t)
	r, other := newRegistry(t), newRegistry(t)
	r.push(t, "acme/app:1", imageOf(t, layerOf(t, file{name: "a", content: noise(23, 10_000)})))
	s := openStore(t, t.TempDir(), Options{})
	im := mustPull(t, s, r.ref("acme/app:1"))
	target := other.ref("acme/app:1")
	arrived := make(chan struct{}, 16)
	other.setBefore(func(req *http.Request) int {
		if req.Method == http.MethodPost {
			arrived <- struct{}{}
			<-req.Context().Done()
		}
		return 0
	})
	for _, end := range []func() error{
		func() error { return s.Cancel(t.Context(), target) },
		func() error { _, err := s.Remove(t.Context(), target, false, 0); return err },
	} {
		if err := s.Tag(t.Context(), im.ID, target, true, 0); err != nil {
			t.Fatal(err)
		}
		if err := s.Push(t.Context(), target, PushOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := s.Push(t.Context(), target, PushOptions{}); err != nil {
			t.Errorf("a second push answers %v", err)
		}
		select {
		case <-arrived:
		case <-time.After(30 * time.Second):
			t.Fatal("no upload began")
		}
		if got := mustFind(t, s, target); got.Status != Pushing || got.Total == 0 {
			t.Errorf("meanwhile it is %+v", got)
		}
		wantKind(t, s.Pull(t.Context(), target, PullOptions{}), Busy)
		wantKind(t, s.Rename(t.Context(), target, "x", 0), Busy)
		waited := make(chan error, 1)
		go func() { waited <- s.Wait(t.Context(), target) }()
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := <-waited; err != nil && KindOf(err) != Cancelled && KindOf(err) != NotFound {
			t.Errorf("who waited got %v", err)
		}
		if got, ok := s.Find(target); ok && got.Status != Ready {
			t.Errorf("afterwards it is %+v", got)
		}
	}
	if _, ok := s.Find(target); ok {
		t.Error("it is still here")
	}
}
