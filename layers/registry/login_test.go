package registry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestLoginBasic(t *testing.T) {
	f := newFake(t)
	good := Credential{User: "alice", Password: "s3cret:with colon"}
	f.fail(guard(func() string { return basic(good) }, `Basic realm="here"`))
	c := client(t, Options{Keychain: holding(good)})
	kept, err := c.Login(t.Context(), f.domain(), good)
	if err != nil || kept != good {
		t.Fatal(kept, err)
	}
	// The wrong one fails though the right one is stored.
	for _, bad := range []Credential{
		{User: "alice", Password: "wr0ng"},
		{User: "bob", Password: good.Password},
		{User: "alice"},
		{},
		{Password: "x"},
		{User: "alice:s3cret", Password: "with colon"},
		{RegistryToken: "wr0ng"},
	} {
		kept, err := c.Login(t.Context(), f.domain(), bad)
		e := failure(t, err, Denied)
		if kept != (Credential{}) {
			t.Error("something is to be kept")
		}
		if !strings.HasPrefix(e.Error(), "cannot log in to "+f.domain()+": ") || strings.Contains(fmt.Sprintf("%+v", e), "wr0ng") {
			t.Errorf("it says %q", e.Error())
		}
	}
}

func TestLoginToken(t *testing.T) {
	f, s := newFake(t), newTokenServer(t)
	f.fail(guard(s.header, s.challenge()))
	good := Credential{User: "alice", Password: "s3cret"}
	refresh := ""
	s.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			if r.Form.Get("refresh_token") != "keep-me" {
				w.WriteHeader(http.StatusUnauthorized)
				return true
			}
			return false
		}
		if r.Header.Get("Authorization") != basic(good) {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = fmt.Fprint(w, `{"details":"incorrect username or password"}`)
			return true
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"token": s.header()[len("Bearer "):], "refresh_token": refresh})
		return true
	}
	c := client(t, Options{})
	kept, err := c.Login(t.Context(), f.domain(), good)
	if err != nil || kept != good {
		t.Fatal(kept, err)
	}
	if got := s.asked[0].Encode(); got != "account=alice&client_id=hull&offline_token=true&service=svc&x=1" {
		t.Errorf("the token server was asked %s", got)
	}
	_, err = c.Login(t.Context(), f.domain(), Credential{User: "alice", Password: "wr0ng"})
	if e := failure(t, err, Denied); e.Message != "incorrect username or password" {
		t.Errorf("it says %q", e.Error())
	}
	// A token in the password's place.
	refresh = "keep-me"
	kept, err = c.Login(t.Context(), f.domain(), good)
	if want := (Credential{User: "alice", IdentityToken: "keep-me"}); err != nil || kept != want {
		t.Fatal(err)
	}
	if again, err := c.Login(t.Context(), f.domain(), kept); err != nil || again != kept {
		t.Fatal(err)
	}
	_, err = c.Login(t.Context(), f.domain(), Credential{User: "alice", IdentityToken: "wr0ng"})
	failure(t, err, Denied)
	refresh = "bad\r\nX-Evil: 1"
	if kept, err = c.Login(t.Context(), f.domain(), good); err != nil || kept != good {
		t.Fatal(err)
	}
}

// TestLoginOpen has a registry that shows everybody something.
func TestLoginOpen(t *testing.T) {
	f := newFake(t)
	good := Credential{User: "alice", Password: "s3cret"}
	f.fail(func(w http.ResponseWriter, r *http.Request) bool {
		if auth := r.Header.Get("Authorization"); auth != "" && auth != basic(good) {
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return false
	})
	c := client(t, Options{})
	if _, err := c.Login(t.Context(), f.domain(), good); err != nil {
		t.Fatal(err)
	}
	_, err := c.Login(t.Context(), f.domain(), Credential{User: "alice", Password: "wr0ng"})
	failure(t, err, Denied)
}

func TestLoginFails(t *testing.T) {
	f := newFake(t)
	c := client(t, Options{Retries: 1})
	cred := Credential{User: "alice", Password: "s3cret"}
	for _, a := range []struct {
		fault func(http.ResponseWriter, *http.Request) bool
		kind  Kind
	}{
		{statusFault("", 404, nil, ""), NotFound},
		{statusFault("", 503, nil, ""), Unavailable},
		{statusFault("", 302, http.Header{"Location": {"?"}}, ""), Protocol},
		{statusFault("", 401, http.Header{}, ""), Denied},
		{statusFault("", 429, http.Header{"Retry-After": {"99"}}, ""), Rate},
	} {
		f.fail(a.fault)
		_, err := c.Login(t.Context(), f.domain(), cred)
		failure(t, err, a.kind)
	}
	f.fail(times(1, statusFault("", 503, nil, "")))
	if _, err := c.Login(t.Context(), f.domain(), cred); err != nil {
		t.Error(err)
	}
	// A redirect takes the login nowhere.
	other := newFake(t)
	f.fail(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return redirect("", other.URL+"/v2/")(w, r)
	})
	_, _ = c.Login(t.Context(), f.domain(), cred)
	for _, r := range other.asked("") {
		if r.auth != "" {
			t.Error("another host got the login")
		}
	}
}
