package layers

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hull/layers/registry"
)

// oneLogin is a keychain with one login for everything.
type oneLogin registry.Credential

func (k oneLogin) Credential(context.Context, string) (registry.Credential, error) {
	return registry.Credential(k), nil
}

// locked is a registry that lets nobody but alice by, until it is opened.
func locked(t *testing.T) (r *testRegistry, open func()) {
	r = newRegistry(t)
	r.push(t, "acme/app:1", imageOf(t, layerOf(t, file{name: "a"})))
	r.push(t, "acme/app:2", imageOf(t, layerOf(t, file{name: "b"})))
	var opened atomic.Bool
	door := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if user, password, _ := req.BasicAuth(); !opened.Load() && (user != "alice" || password != "secret") {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		r.Config.Handler.ServeHTTP(w, req)
	}))
	t.Cleanup(door.Close)
	r.host = strings.TrimPrefix(door.URL, "http://")
	return r, func() { opened.Store(true) }
}

func TestPrivate(t *testing.T) {
	needRoot(t)
	r, open := locked(t)
	s := openStore(t, t.TempDir(), Options{})
	ref := r.ref("acme/app:1")
	pull := func(by uint32, k registry.Keychain) {
		t.Helper()
		if err := s.Pull(t.Context(), ref, PullOptions{By: by, Keychain: k, Budget: time.Minute}); err != nil {
			t.Fatal(err)
		}
		if err := s.Wait(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
	}
	alice := oneLogin{User: "alice", Password: "secret"}
	want := func(what, name string, private bool, reader uint32) {
		t.Helper()
		if im, ok := s.Find(name); !ok || im.Private != private || im.Reader != reader {
			t.Errorf("%s: %+v, %v", what, im, ok)
		}
	}
	pull(1000, alice)
	want("pulled with a login", ref, true, 1000)
	pull(0, alice)
	want("root takes nothing from whose login it was", ref, true, 1000)
	pull(1001, alice)
	want("pulled with a login by somebody else", ref, true, 1001)
	if err := s.Tag(t.Context(), ref, "mine:1", false, 7); err != nil {
		t.Fatal(err)
	}
	im, _ := s.Find(ref)
	if err := s.Pull(t.Context(), r.host+"/acme/app@"+im.Digest, PullOptions{By: 8}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mine:1", r.host + "/acme/app@" + im.Digest, im.ID} {
		want("a name it was given here", name, true, 1001)
	}
	closeStore(t, s)
	s = openStore(t, s.dir, Options{})
	want("after a restart", ref, true, 1001)
	want("another name after a restart", "mine:1", true, 1001)

	open()
	pull(1001, alice)
	want("the registry did not ask for the login", ref, false, 0)
	want("the other name was pulled with one", "mine:1", true, 1001)
	want("by its ID it is as public as by any name", im.ID, false, 0)
	if err := s.Tag(t.Context(), "mine:1", "mine:2", false, 7); err != nil {
		t.Fatal(err)
	}
	want("a name given to what is public", "mine:2", false, 0)
}

// What a private image leaves behind when its name moves on, and what is made of it.
func TestPrivateOffspring(t *testing.T) {
	needRoot(t)
	r, _ := locked(t)
	s := openStore(t, t.TempDir(), Options{Logins: func(uint32) registry.Keychain { return oneLogin{User: "alice", Password: "secret"} }})
	for _, name := range []string{"acme/app:1", "acme/app:2"} {
		if err := s.Pull(t.Context(), r.ref(name), PullOptions{By: 1000, Keychain: s.loginsOf(1000), Budget: time.Minute}); err != nil {
			t.Fatal(err)
		}
		if err := s.Wait(t.Context(), r.ref(name)); err != nil {
			t.Fatal(err)
		}
	}
	old, _ := s.Find(r.ref("acme/app:1"))
	if err := s.Tag(t.Context(), r.ref("acme/app:2"), r.ref("acme/app:1"), true, 0); err != nil {
		t.Fatal(err)
	}
	if im, ok := s.Find(old.ID); !ok || im.Reference != "" || !im.Private || im.Reader != 1000 {
		t.Errorf("left behind: %+v, %v", im, ok)
	}
	id, err := s.Commit(t.Context(), "made:1", CommitOptions{Base: old.ID, Upper: upperOf(t, map[string]string{"new": "content"}), By: 0})
	if err != nil {
		t.Fatal(err)
	}
	if im, ok := s.Find(id); !ok || !im.Private || im.Reader != 1000 {
		t.Errorf("committed: %+v, %v", im, ok)
	}
}
