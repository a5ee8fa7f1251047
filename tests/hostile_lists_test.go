package tests

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestHostileLists asks a registry that lies for its tags and what it has.
func TestHostileLists(t *testing.T) {
	needs(t)
	v, h := newVictim(t), newHostile(t)
	if err := os.Mkdir(v.path("hull")+"/registries/"+h.addr, 0o755); err != nil {
		t.Fatal(err)
	}
	v.ready(t, h)
	page := 0
	list := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
	}
	for _, c := range []struct {
		name, refuse string // "" means that it is answered
		verb         string
		answer       http.HandlerFunc
	}{
		{"tags-without-end", "larger than hull accepts", "tags", endless(`{"tags":[`, `"a",`)},
		{"more-tags-than-there-can-be", "more entries|more pages", "tags", func(w http.ResponseWriter, r *http.Request) {
			page++
			w.Header().Set("Link", fmt.Sprintf(`<%s?n=1000&page=%d>; rel="next"`, r.URL.Path, page))
			var b strings.Builder
			for i := range 100_000 {
				fmt.Fprintf(&b, `"%d.%d",`, page, i)
			}
			_, _ = fmt.Fprintf(w, `{"tags":[%s"x"]}`, b.String())
		}},
		{"pages-in-a-circle", "in a circle", "tags", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", `<`+r.URL.String()+`>; rel="next"`)
			_, _ = w.Write([]byte(`{"tags":["x"]}`))
		}},
		{"pages-elsewhere", "another host", "tags", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", `<http://169.254.169.254/latest/meta-data>; rel="next"`)
			_, _ = w.Write([]byte(`{"tags":["x"]}`))
		}},
		{"tags-that-are-none", "", "tags", list(`{"tags":["good","../../x","\u001b[2J","a b","` + strings.Repeat("t", 500) + `"]}`)},
		{"results-without-end", "larger than hull accepts", "search", endless(`{"results":[`, `{"name":"a"},`)},
		{"results-to-drive-a-terminal", "", "search", list(`{"results":[{"name":"good","description":"\u001b[2J\u0007\r\n\u202e","star_count":-1}]}`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			h.at("list", "tags/list", c.answer)
			h.mu.Lock()
			h.answers["/v1/search"] = c.answer
			h.mu.Unlock()
			v.forget(t)
			cmd := exec.Command(v.path("hull")+"/registries/"+h.addr+"/"+c.verb, "list")
			var out, said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &said
			err := cmd.Run()
			t.Logf("%d MB: %.200s%.200s", v.peak(t)/1e6, out.String(), said.String())
			if c.refuse != "" {
				plain(t, strings.TrimPrefix(said.String(), "hull: "))
				if err == nil || !regexp.MustCompile(c.refuse).MatchString(said.String()) {
					t.Errorf("%v, and the reason is %q, want %q", err, said.String(), c.refuse)
				}
			} else if err != nil || !strings.Contains(out.String(), "good") || strings.ContainsAny(out.String(), "\x1b\a\r\u202e") || strings.Contains(out.String(), "..") {
				t.Errorf("%v: %q, %q", err, out.String(), said.String())
			}
			v.unhurt(t)
		})
	}
}

// TestStolenLogins logs in at a registry that would send the login on to others.
func TestStolenLogins(t *testing.T) {
	needs(t)
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	v, h, thief := newVictim(t), newHostile(t), newHostile(t)
	const login = "Basic YWxpY2U6c2VjcmV0"
	locked := func(then http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != login {
				w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			then(w, r)
		}
	}
	h.mu.Lock()
	h.answers["/v2/"] = locked(func(http.ResponseWriter, *http.Request) {})
	h.mu.Unlock()
	at := v.path("hull") + "/registries/" + h.addr
	if err := errors.Join(os.Mkdir(at, 0o755), os.WriteFile(at+"/login", []byte("alice secret\n"), 0)); err != nil {
		t.Fatalf("%v: %s", err, v.read(t, "error"))
	}
	elsewhere := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}

	// Its blobs are kept elsewhere, as real ones are: they are had, without the login.
	l := layer(tarOf(put("f", "x"))).filled()
	h.image("app", l)
	thief.image("app", l)
	h.mu.Lock()
	for path, answer := range h.answers {
		switch {
		case strings.Contains(path, "/blobs/"):
			h.answers[path] = locked(elsewhere)
		case strings.Contains(path, "/manifests/"):
			h.answers[path] = locked(answer)
		}
	}
	h.mu.Unlock()
	if s, _ := v.pull(t, h.addr+"/app:1"); s != "" {
		t.Errorf("an image whose blobs are elsewhere: %s", s)
	}

	// Its token server is somebody else, who is asked, over plain http, for nothing.
	h.at("realm", "manifests/1", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://198.51.100.7/token",service="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	s, _ := v.pull(t, h.addr+"/realm:1")
	plain(t, s)

	// Somebody else asks for the login.
	h.at("asked", "manifests/1", elsewhere)
	thief.at("asked", "manifests/1", locked(func(http.ResponseWriter, *http.Request) {}))
	s, _ = v.pull(t, h.addr+"/asked:1")
	plain(t, s)

	h.mu.Lock()
	thief.mu.Lock()
	defer h.mu.Unlock()
	defer thief.mu.Unlock()
	if len(h.secrets) == 0 || len(thief.secrets) > 0 {
		t.Errorf("the registry got %d logins, and the other host %q", len(h.secrets), thief.secrets)
	}
	b, err := os.ReadFile(v.path("hull") + "/events")
	if err != nil || bytes.Contains(b, []byte("secret")) || bytes.Contains(b, []byte("YWxpY2U6c2VjcmV0")) {
		t.Errorf("events hold the password, or cannot be read: %v", err)
	}
}
