package layers

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

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
