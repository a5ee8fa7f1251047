package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// keychain is a Keychain in one function.
type keychain func(ctx context.Context, domain string) (Credential, error)

func (k keychain) Credential(ctx context.Context, domain string) (Credential, error) {
	return k(ctx, domain)
}

func holding(cred Credential) Keychain {
	return keychain(func(context.Context, string) (Credential, error) { return cred, nil })
}

// guard makes a registry demand an Authorization header.
func guard(valid func() string, challenge string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") == valid() {
			return false
		}
		w.Header().Add("WWW-Authenticate", "Negotiate")
		w.Header().Add("WWW-Authenticate", challenge)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
		return true
	}
}

// tokenServer hands out tokens to those who know the password, or to all.
type tokenServer struct {
	*httptest.Server
	mu     sync.Mutex
	valid  string // the token that counts
	asked  []url.Values
	auths  []string
	answer func(w http.ResponseWriter, r *http.Request) bool
}

func newTokenServer(t *testing.T) *tokenServer {
	t.Helper()
	s := &tokenServer{valid: "t0"}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		s.mu.Lock()
		s.asked = append(s.asked, r.Form)
		s.auths = append(s.auths, r.Header.Get("Authorization"))
		s.valid = fmt.Sprint("t", len(s.asked))
		valid, answer := s.valid, s.answer
		s.mu.Unlock()
		if answer == nil || !answer(w, r) {
			_ = json.NewEncoder(w).Encode(map[string]any{"token": valid, "expires_in": 300})
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *tokenServer) header() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return "Bearer " + s.valid
}

func (s *tokenServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

func (s *tokenServer) challenge() string {
	return fmt.Sprintf(`Bearer realm="%s/token?x=1",service="svc"`, s.URL)
}

func TestBasic(t *testing.T) {
	f := newFake(t)
	f.push(t, sample{repo: "app", tag: "1", layers: 1})
	good := Credential{User: "alice", Password: "s3cret"}
	f.fail(guard(func() string { return basic(good) }, `Basic realm="here"`))
	img, err := client(t, Options{Keychain: holding(good)}).Resolve(t.Context(), f.ref(t, "app:1"))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(f.asked("")); n != 3 {
		t.Errorf("%d requests; the login is not remembered", n)
	}
	for name, o := range map[string]Options{
		"wrong":   {Keychain: holding(Credential{User: "alice", Password: "wr0ng"})},
		"none":    {},
		"nothing": {Keychain: holding(Credential{})},
		"error": {Keychain: keychain(func(context.Context, string) (Credential, error) {
			return Credential{}, errors.New("no helper\x1b[2J")
		})},
	} {
		c := client(t, o)
		_, err := c.Resolve(t.Context(), f.ref(t, "app:1"))
		e := failure(t, err, Denied)
		if strings.Contains(fmt.Sprintf("%v %+v", e, e), "wr0ng") {
			t.Errorf("%s: the error tells the password: %+v", name, e)
		}
		if told := strings.Contains(e.Reason, "does not accept"); told != (name == "wrong") {
			t.Errorf("%s: the reason is %q", name, e.Reason)
		}
		failure(t, c.Blob(t.Context(), f.ref(t, "app:1"), img.Layers[0], io.Discard, 0), Denied)
	}
}

func TestToken(t *testing.T) {
	f, s := newFake(t), newTokenServer(t)
	f.push(t, sample{repo: "team/app", tag: "1", layers: 2})
	f.fail(guard(s.header, s.challenge()))
	c := client(t, Options{Keychain: holding(Credential{User: "alice", Password: "s3cret"})})
	ref := f.ref(t, "team/app:1")
	img, err := c.Resolve(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range img.Layers {
		if err := c.Blob(t.Context(), ref, l, io.Discard, 0); err != nil {
			t.Fatal(err)
		}
	}
	if s.count() != 1 {
		t.Errorf("%d tokens were asked for", s.count())
	}
	if got := s.asked[0].Encode(); got != "scope=repository%3Ateam%2Fapp%3Apull&service=svc&x=1" {
		t.Errorf("the token server was asked %s", got)
	}
	if s.auths[0] != basic(Credential{User: "alice", Password: "s3cret"}) {
		t.Error("the token server did not get the password")
	}
	for _, r := range f.asked("") {
		if strings.HasPrefix(r.auth, "Basic") {
			t.Error("the registry got the password")
		}
	}
	// A token that has expired is replaced, unnoticed.
	s.mu.Lock()
	s.valid = "another"
	s.mu.Unlock()
	if _, err := c.Resolve(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if s.count() != 2 {
		t.Errorf("%d tokens were asked for", s.count())
	}
	// Another user's client does not profit from it.
	f.fail(guard(s.header, s.challenge()))
	if _, err := c.With(nil).Resolve(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if s.count() != 3 || s.auths[2] != "" {
		t.Errorf("%d tokens were asked for; anonymously: %v", s.count(), s.auths[s.count()-1] == "")
	}
}

func TestIdentityToken(t *testing.T) {
	f, s := newFake(t), newTokenServer(t)
	f.push(t, sample{repo: "app", tag: "1"})
	f.fail(guard(s.header, s.challenge()))
	if _, err := client(t, Options{Keychain: holding(Credential{IdentityToken: "refresh"})}).Resolve(t.Context(), f.ref(t, "app:1")); err != nil {
		t.Fatal(err)
	}
	if s.asked[0].Get("refresh_token") != "refresh" || s.asked[0].Get("grant_type") != "refresh_token" {
		t.Errorf("asked %v", s.asked[0])
	}
	// A server that knows no OAuth2 gets the password.
	s.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusNotFound)
			return true
		}
		return false
	}
	both := Credential{User: "alice", Password: "s3cret", IdentityToken: "refresh"}
	if _, err := client(t, Options{Keychain: holding(both)}).Resolve(t.Context(), f.ref(t, "app:1")); err != nil {
		t.Fatal(err)
	}
	_, err := client(t, Options{Keychain: holding(Credential{IdentityToken: "refresh"})}).Resolve(t.Context(), f.ref(t, "app:1"))
	failure(t, err, Denied)
	// A secret in a body is not redirected.
	other := newTokenServer(t)
	s.answer = func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		return true
	}
	_, err = client(t, Options{Keychain: holding(Credential{IdentityToken: "refresh"})}).Resolve(t.Context(), f.ref(t, "app:1"))
	failure(t, err, Protocol)
	if other.count() != 0 {
		t.Error("another host got the refresh token")
	}
}

func TestRegistryToken(t *testing.T) {
	f, s := newFake(t), newTokenServer(t)
	f.push(t, sample{repo: "app", tag: "1"})
	f.fail(guard(func() string { return "Bearer mine" }, s.challenge()))
	if _, err := client(t, Options{Keychain: holding(Credential{RegistryToken: "mine"})}).Resolve(t.Context(), f.ref(t, "app:1")); err != nil {
		t.Fatal(err)
	}
	if s.count() != 0 {
		t.Error("a token was asked for")
	}
}

func TestTokenServerOddities(t *testing.T) {
	f, s := newFake(t), newTokenServer(t)
	f.push(t, sample{repo: "app", tag: "1"})
	f.fail(guard(s.header, s.challenge()))
	write := func(status int, body string) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
			return true
		}
	}
	for name, a := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request) bool
		kind   Kind
	}{
		"wrong password":   {write(401, `{"details":"incorrect username or password"}`), Denied},
		"forbidden":        {write(403, `{}`), Denied},
		"not there":        {write(404, ``), Denied},
		"teapot":           {write(418, ``), Denied},
		"down":             {write(503, ``), Unavailable},
		"too many":         {write(429, ``), Rate},
		"not JSON":         {write(200, `<html>`), Protocol},
		"no token":         {write(200, `{}`), Protocol},
		"another type":     {write(200, `{"token":5}`), Protocol},
		"header injection": {write(200, `{"token":"a\r\nX-Evil: 1"}`), Protocol},
		"space":            {write(200, `{"token":"a b"}`), Protocol},
		"huge":             {endless("", `{"token":"`, "aaaaaaaaaaaaaaaa"), TooLarge},
		"circle": {func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, r.URL.String(), http.StatusFound)
			return true
		}, Protocol},
	} {
		t.Run(name, func(t *testing.T) {
			s.mu.Lock()
			s.answer = a.answer
			s.mu.Unlock()
			_, err := client(t, Options{Retries: 1}).Resolve(t.Context(), f.ref(t, "app:1"))
			e := failure(t, err, a.kind)
			if name == "wrong password" && e.Message != "incorrect username or password" {
				t.Errorf("the message is %q", e.Message)
			}
		})
	}
}

// TestUnusableChallenges has registries that name no way that hull would go.
func TestUnusableChallenges(t *testing.T) {
	f := newFake(t)
	f.push(t, sample{repo: "app", tag: "1"})
	for challenge, kind := range map[string]Kind{
		`Negotiate abc==`:                              Denied,
		`Bearer`:                                       Protocol,
		`Bearer realm=""`:                              Protocol,
		`Bearer realm="/token"`:                        Protocol,
		`Bearer realm="ftp://tokens.test/"`:            Protocol,
		`Bearer realm="file:///etc/passwd"`:            Protocol,
		`Bearer realm="http://tokens.test/"`:           Protocol, // plain, and not on this machine
		`Bearer realm="http://127.0.0.1:bad/"`:         Protocol,
		`Bearer realm="https://[::1"`:                  Protocol,
		`Bearer realm="http://169.254.169.254/latest"`: Protocol,
		`Basic`:            Denied,
		`Digest realm="x"`: Denied,
		`Bearer realm="http://user:pw@127.0.0.1:1/tok"`:  Unavailable,
		strings.Repeat("x, ", 1000) + `Bearer realm="/"`: Denied,
	} {
		f.fail(guard(func() string { return "never" }, challenge))
		_, err := client(t, Options{Retries: -1}).Resolve(t.Context(), f.ref(t, "app:1"))
		var e *Error
		if !errors.As(err, &e) || e.Kind != kind {
			t.Errorf("%q: got %v, want the kind %q", challenge, err, kind)
			continue
		}
		failure(t, err, kind)
	}
}

func TestTokensExpire(t *testing.T) {
	held := &tokens{held: map[tokenKey]token{}}
	k := tokenKey{"h", "s"}
	held.put(k, "Bearer old", -time.Second)
	if got := held.get(k); got != "" {
		t.Errorf("an expired token is given: %q", got)
	}
	held.put(k, "Bearer new", time.Hour)
	held.drop(k, "Bearer old")
	if held.get(k) != "Bearer new" {
		t.Error("a new token went with the old one")
	}
	held.put(tokenKey{"h", "other"}, "x", -time.Second)
	held.put(k, "Bearer newer", time.Hour)
	if len(held.held) != 1 {
		t.Errorf("%d tokens are held", len(held.held))
	}
}

func TestCredentialDoesNotPrint(t *testing.T) {
	c := Credential{User: "alice", Password: "s3cret", IdentityToken: "s3cret", RegistryToken: "s3cret"}
	var b strings.Builder
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "cred", c)
	for _, s := range []string{fmt.Sprint(c), fmt.Sprintf("%v %+v %#v %s", c, c, c, c), b.String()} {
		if strings.Contains(s, "s3cret") {
			t.Errorf("it prints as %s", s)
		}
	}
}
