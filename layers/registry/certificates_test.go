package registry

import (
	"context"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hull/layers/reference"
)

// TestCertificates goes to a registry whose authority is not the system's.
func TestCertificates(t *testing.T) {
	e, f, a := newElsewhere(t), newFake(t), newAuthority(t)
	f.push(t, sample{repo: "app", tag: "1"})
	f.secure(t, e, a, "registry.test", nil)
	dir := t.TempDir()
	c := client(t, Options{Proxy: e.proxy(t), Certificates: dir})
	ref := reference.Reference{Domain: "registry.test", Path: "app", Tag: "1"}
	_, err := c.Resolve(t.Context(), ref)
	failure(t, err, Unavailable)
	// Once its authority is there, the same client trusts it.
	write(t, filepath.Join(dir, "registry.test", "ca.crt"), a.pem)
	if _, err := c.Resolve(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "registry.test", "ca.crt")); err != nil {
		t.Fatal(err)
	}
	_, err = c.Resolve(t.Context(), ref)
	failure(t, err, Unavailable)
	// Marked insecure, it is believed without.
	insecure := client(t, Options{Proxy: e.proxy(t), Insecure: func(d string) bool { return d == "registry.test" }})
	if _, err := insecure.Resolve(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if len(e.plain) != 0 {
		t.Errorf("asked without TLS: %q", e.plain)
	}
}

func TestClientCertificate(t *testing.T) {
	e, f, a := newElsewhere(t), newFake(t), newAuthority(t)
	f.push(t, sample{repo: "app", tag: "1"})
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	f.secure(t, e, a, "registry.test", pool)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "registry.test", "ca.crt"), a.pem)
	c := client(t, Options{Proxy: e.proxy(t), Certificates: dir, Retries: 1})
	ref := reference.Reference{Domain: "registry.test", Path: "app", Tag: "1"}
	_, err := c.Resolve(t.Context(), ref)
	failure(t, err, Unavailable)
	_, cert, key := a.issue(t, "me")
	write(t, filepath.Join(dir, "registry.test", "me.cert"), cert)
	_, err = c.Resolve(t.Context(), ref)
	failure(t, err, Protocol) // its key is not there yet
	write(t, filepath.Join(dir, "registry.test", "me.key"), key)
	if _, err := c.Resolve(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
}

// TestDockerHub demands that docker.io is asked where it is, and called what it is
// called.
func TestDockerHub(t *testing.T) {
	e, f, a := newElsewhere(t), newFake(t), newAuthority(t)
	f.push(t, sample{repo: "library/redis", tag: "7"})
	f.secure(t, e, a, "registry-1.docker.io", nil)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "docker.io", "ca.crt"), a.pem)
	cred := Credential{User: "alice", Password: "s3cret"}
	f.fail(guard(func() string { return basic(cred) }, "Basic"))
	var asked []string
	c := client(t, Options{Proxy: e.proxy(t), Certificates: dir, Keychain: keychain(func(_ context.Context, domain string) (Credential, error) {
		asked = append(asked, domain)
		return cred, nil
	})})
	ref, err := reference.Parse("redis:7")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Resolve(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	same(t, "the keychain was asked for", asked, []string{"docker.io"})
	ref.Tag = "99"
	_, err = c.Resolve(t.Context(), ref)
	if e := failure(t, err, NotFound); e.Host != "docker.io" || !strings.HasPrefix(e.Error(), "cannot get redis:99 from docker.io: ") {
		t.Errorf("got %q", e)
	}
}

// TestInsecureCoversItsPorts has an insecure registry with its token server on
// another port, and demands that a third host is not covered.
func TestInsecureCoversItsPorts(t *testing.T) {
	tr := newTransports(Options{Insecure: func(d string) bool { return d == "registry.test:5000" }})
	for _, c := range []struct {
		host, registry string
		want           bool
	}{
		{"registry.test:5000", "registry.test:5000", true},
		{"registry.test", "registry.test:5000", true},
		{"registry.test:5001", "registry.test:5000", true},
		{"registry.test:5001", "", false},
		{"registry.test:5001", "ghcr.io", false},
		{"storage.test", "registry.test:5000", false},
		{"a.registry.test:5000", "registry.test:5000", false},
		{"registry.test:5000", "ghcr.io", true},
	} {
		if got := tr.lax(c.host, c.registry); got != c.want {
			t.Errorf("lax(%q, %q) = %v", c.host, c.registry, got)
		}
	}
}
