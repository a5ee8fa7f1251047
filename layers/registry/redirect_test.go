package registry

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"hull/layers/reference"
)

// redirect sends whoever asks for part elsewhere.
func redirect(part, target string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, part) {
			return false
		}
		w.Header().Set("Location", target)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return true
	}
}

func both(faults ...func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		for _, f := range faults {
			if f(w, r) {
				return true
			}
		}
		return false
	}
}

// TestRedirectKeepsCredentials follows a redirect of a blob, as most registries
// make, and demands that the other host learns nothing.
func TestRedirectKeepsCredentials(t *testing.T) {
	f, storage := newFake(t), newFake(t)
	body := noise(1, 1000)
	l := store(t, f, body)
	store(t, storage, body)
	cred := Credential{User: "alice", Password: "s3cret"}
	f.fail(both(
		guard(func() string { return basic(cred) }, "Basic"),
		redirect("blobs/", storage.URL+"/v2/app/blobs/"+l.Digest+"?signature=x"),
	))
	var got bytes.Buffer
	if err := client(t, Options{Keychain: holding(cred)}).Blob(t.Context(), f.ref(t, "app:1"), l, &got, 10); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), body[10:]) {
		t.Error("other bytes")
	}
	seen := storage.asked("blobs/")
	if len(seen) != 1 || seen[0].auth != "" || seen[0].referer != "" || seen[0].span != "bytes=10-999" {
		t.Errorf("the other host was asked %+v", seen)
	}
	// Nor does it get any by asking for a login itself.
	storage.fail(guard(func() string { return "never" }, "Basic"))
	err := client(t, Options{Keychain: holding(cred)}).Blob(t.Context(), f.ref(t, "app:1"), l, io.Discard, 0)
	if e := failure(t, err, Denied); e.Host != storage.domain() {
		t.Errorf("the error blames %s", e.Host)
	}
	for _, r := range storage.asked("") {
		if r.auth != "" {
			t.Error("the other host got the login")
		}
	}
}

func TestRedirectsRefused(t *testing.T) {
	f := newFake(t)
	l := store(t, f, noise(1, 1000))
	c := client(t, Options{Retries: -1})
	steps := 0
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"circle":      redirect("blobs/", "?"),
		"itself":      redirect("blobs/", ""),
		"plain":       redirect("blobs/", "http://storage.test/x"),
		"file":        redirect("blobs/", "file:///etc/passwd"),
		"unix":        redirect("blobs/", "unix:///run/docker.sock"),
		"no host":     redirect("blobs/", "http:///x"),
		"control":     redirect("blobs/", "http://a\x1b[2Jb/x"),
		"unparseable": redirect("blobs/", "http://%zz/"),
		"ever more": func(w http.ResponseWriter, r *http.Request) bool {
			steps++
			return redirect("", "/v2/app/blobs/x"+strings.Repeat("x", steps))(w, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f.fail(fault)
			err := c.Blob(t.Context(), f.ref(t, "app:1"), l, io.Discard, 0)
			if err == nil {
				t.Fatal("no error")
			}
			if n := len(f.asked("")); n > 2*(maxRedirects+1) {
				t.Errorf("it asked %d times", n)
			}
		})
	}
}

func TestInward(t *testing.T) {
	for host, want := range map[string]bool{
		"": true, "localhost": true, "LOCALHOST.": true, "a.localhost:80": true, "127.0.0.1": true, "127.9.9.9:1": true,
		"[::1]": true, "[::1]:443": true, "0.0.0.0": true, "[::]": true, "169.254.169.254": true,
		"[fe80::1]": true, "[::ffff:127.0.0.1]": true, "[::ffff:169.254.169.254]:80": true, "127.1": true,
		"2130706433": true, "0x7f000001": true, "0x7f.1": true, "017700000001": true, "224.0.0.1": true, "1.2.3.4.5": true,
		"ghcr.io": false, "10.0.0.5:5000": false, "192.168.1.1": false, "[2001:db8::1]": false, "[fd00::1]": false,
		"a.b.c1": false, "1.example.com": false,
	} {
		if got := inward(host) != ""; got != want {
			t.Errorf("inward(%q) = %v", host, got)
		}
	}
}

func TestIsLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "localhost:5000": true, "127.0.0.1:1": true, "127.1.2.3": true, "[::1]:5000": true,
		"[::ffff:127.0.0.1]": true,
		"":                   false, "0.0.0.0": false, "127.1": false, "localhost.example.com": false, "a.localhost": false,
		"10.0.0.1": false, "128.0.0.1": false, "127.0.0.1.example.com": false,
	} {
		if got := isLoopback(host); got != want {
			t.Errorf("isLoopback(%q) = %v", host, got)
		}
	}
}

// TestNoDowngrade has a registry on the network that redirects, or is broken, in
// ways that would make a credulous client speak plain http or turn inward.
func TestNoDowngrade(t *testing.T) {
	e, f, a := newElsewhere(t), newFake(t), newAuthority(t)
	l := store(t, f, noise(1, 1000))
	f.secure(t, e, a, "registry.test", nil)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "registry.test", "ca.crt"), a.pem)
	cred := Credential{User: "alice", Password: "s3cret"}
	c := client(t, Options{Proxy: e.proxy(t), Certificates: dir, Retries: 1, Keychain: holding(cred)})
	ref := reference.Reference{Domain: "registry.test", Path: "app", Tag: "1"}
	for _, target := range []string{
		"http://storage.test/x", "http://registry.test/v2/app/blobs/x", f.URL + "/v2/app/blobs/" + l.Digest,
		"https://127.0.0.1/x", "https://169.254.169.254/x", "https://localhost/", "https://0x7f000001/",
	} {
		f.fail(redirect("blobs/", target))
		failure(t, c.Blob(t.Context(), ref, l, io.Discard, 0), Protocol)
	}
	for _, realm := range []string{"http://tokens.test/", "http://registry.test/token", "https://127.0.0.1/t", "https://169.254.169.254/t"} {
		f.fail(guard(func() string { return "never" }, `Bearer realm="`+realm+`"`))
		failure(t, c.Blob(t.Context(), ref, l, io.Discard, 0), Protocol)
	}
	f.fail(nil)
	// Another host over https is fine.
	storage := newFake(t)
	body := noise(1, 1000)
	store(t, storage, body)
	storage.secure(t, e, a, "storage.test", nil)
	f.fail(both(
		guard(func() string { return basic(cred) }, "Basic"),
		redirect("blobs/", "https://storage.test/v2/app/blobs/"+l.Digest),
	))
	if err := c.Blob(t.Context(), ref, l, io.Discard, 0); err != nil {
		t.Fatal(err)
	}
	for _, r := range storage.asked("") {
		if r.auth != "" {
			t.Error("the other host got the login")
		}
	}
	// A port that does not speak TLS.
	e.mu.Lock()
	e.to["registry.test:443"] = f.domain()
	e.mu.Unlock()
	c.Close()
	failure(t, c.Blob(t.Context(), ref, l, io.Discard, 0), Unavailable)
	// A proxy that does not answer for it.
	_, err := c.Resolve(t.Context(), reference.Reference{Domain: "nosuch.test", Path: "app", Tag: "1"})
	failure(t, err, Unavailable)
	if len(e.plain) != 0 {
		t.Errorf("asked without TLS: %q", e.plain)
	}
}

// TestSubdomainGetsNothing looks at what net/http would let through: credentials
// to a subdomain of the registry.
func TestSubdomainGetsNothing(t *testing.T) {
	tr := newTransports(Options{Insecure: func(string) bool { return false }})
	first, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://registry.test/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	next := first.Clone(t.Context())
	next.URL = &url.URL{Scheme: "https", Host: "evil.registry.test", Path: "/b"}
	next.Header.Set("Authorization", "Basic x")
	if err := tr.checkRedirect(next, []*http.Request{first}); err != nil {
		t.Fatal(err)
	}
	if next.Header.Get("Authorization") != "" {
		t.Error("the login goes to a subdomain")
	}
}
