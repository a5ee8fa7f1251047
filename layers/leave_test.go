package layers

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// A pull ends with the last of those who stay with it, unless somebody asked for it
// who does not.
func TestLeave(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	r.push(t, "acme/app:1", imageOf(t, layerOf(t, file{name: "a", content: noise(40, 10_000)})))
	gate := make(chan struct{})
	r.setBlob(func(string) blobFault { return blobFault{wait: gate} })
	img := r.ref("acme/app:1")
	s := openStore(t, t.TempDir(), Options{})
	one, two := &Attendance{}, &Attendance{}
	for _, a := range []*Attendance{one, two, two} {
		if err := s.Pull(t.Context(), img, PullOptions{Attend: a}); err != nil {
			t.Fatal(err)
		}
	}
	s.Leave(one)
	s.Leave(one) // has left
	if im := mustFind(t, s, img); im.Status != Waiting && im.Status != Pulling {
		t.Errorf("with one who stays the image is %+v", im)
	}
	s.Leave(two)
	if im := mustFind(t, s, img); im.Status != Failed || !strings.Contains(im.Error, "it was cancelled") {
		t.Errorf("with nobody left the image is %+v", im)
	}
	for _, a := range []*Attendance{nil, one} {
		if err := s.Pull(t.Context(), img, PullOptions{Attend: a}); err != nil {
			t.Fatal(err)
		}
	}
	s.Leave(one)
	close(gate)
	if err := s.Wait(t.Context(), img); err != nil {
		t.Errorf("the pull that was asked for has ended: %v", err)
	}
	s.Leave(&Attendance{})
}

// A push that the daemon's end interrupts goes on with the next one, but not for ever.
func TestPushGoesOn(t *testing.T) {
	needRoot(t)
	r, other := newRegistry(t), newRegistry(t)
	r.push(t, "acme/app:1", imageOf(t, layerOf(t, file{name: "a", content: noise(41, 10_000)})))
	s := openStore(t, t.TempDir(), Options{})
	im := mustPull(t, s, r.ref("acme/app:1"))
	target := other.ref("mine/app:1")
	if err := s.Tag(t.Context(), im.ID, target, false, 0); err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{}, 100)
	other.setBefore(func(req *http.Request) int {
		if req.Method == http.MethodPost {
			asked <- struct{}{}
			<-req.Context().Done()
		}
		return 0
	})
	if err := s.Push(t.Context(), target, PushOptions{By: 7}); err != nil {
		t.Fatal(err)
	}
	for range maxTakeUps + 1 {
		select {
		case <-asked:
		case <-time.After(time.Minute):
			t.Fatal("nothing is pushed")
		}
		closeStore(t, s)
		s = openStore(t, s.dir, Options{})
	}
	if got := mustFind(t, s, target); got.Status != Ready || !strings.Contains(got.Error, "hull ended each time it tried") {
		t.Errorf("the image is %+v", got)
	}
	if err := s.Push(t.Context(), target, PushOptions{By: 7}); err != nil {
		t.Fatal(err)
	}
	<-asked
	closeStore(t, s)
	other.setBefore(nil)
	s = openStore(t, s.dir, Options{})
	if err := s.Wait(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	if got := mustFind(t, s, target); got.Status != Ready || got.Error != "" {
		t.Errorf("the image is %+v", got)
	}
	if got := digestThere(t, other, "mine/app:1"); got != im.Digest {
		t.Errorf("there it has the digest %s, here %s", got, im.Digest)
	}
}
