package credentials

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"hull/layers/registry"
)

// TestRoundTrip goes through the child for everything.
func TestRoundTrip(t *testing.T) {
	u := resident(t)
	for _, domain := range []string{"docker.io", "ghcr.io", "localhost:5000", "[::1]:5000"} {
		if got, err := Get(t.Context(), u, domain); err != nil || got != (registry.Credential{}) {
			t.Errorf("before, %s has %v, %v", domain, got, err)
		}
		stored, err := Store(t.Context(), u, domain, alice)
		if err != nil {
			t.Fatal(err)
		}
		if stored.File != u.file() || stored.Helper != "" || !strings.Contains(stored.Warning(), "stored unencrypted in '"+u.file()+"'") {
			t.Errorf("stored %+v", stored)
		}
	}
	token := registry.Credential{User: "bob", IdentityToken: "s3cret-token"}
	if _, err := Store(t.Context(), u, "quay.io", token); err != nil {
		t.Fatal(err)
	}
	want := `{
	"auths": {
		"https://index.docker.io/v1/": {
			"auth": "YWxpY2U6czNjcmV0OjwmPg=="
		},
		"ghcr.io": {
			"auth": "YWxpY2U6czNjcmV0OjwmPg=="
		},
		"localhost:5000": {
			"auth": "YWxpY2U6czNjcmV0OjwmPg=="
		},
		"[::1]:5000": {
			"auth": "YWxpY2U6czNjcmV0OjwmPg=="
		},
		"quay.io": {
			"auth": "Ym9iOg==",
			"identitytoken": "s3cret-token"
		}
	}
}`
	if got := read(t, u.file()); got != want {
		t.Errorf("the file is\n%s\nwant\n%s", got, want)
	}
	info, err := os.Stat(u.file())
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if info, err = os.Stat(filepath.Dir(u.file())); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	var chain registry.Keychain = u
	for domain, want := range map[string]registry.Credential{"docker.io": alice, "ghcr.io": alice, "quay.io": token, "gcr.io": {}} {
		if got, err := chain.Credential(t.Context(), domain); err != nil || got != want {
			t.Errorf("%s has %v, %v", domain, got, err)
		}
	}
	for _, domain := range []string{"docker.io", "ghcr.io", "localhost:5000", "[::1]:5000", "quay.io", "quay.io"} {
		if err := Erase(t.Context(), u, domain); err != nil {
			t.Fatal(err)
		}
		if got, err := Get(t.Context(), u, domain); err != nil || got != (registry.Credential{}) {
			t.Errorf("afterwards, %s has %v, %v", domain, got, err)
		}
	}
	if got := read(t, u.file()); got != "{\n\t\"auths\": {}\n}" {
		t.Errorf("the file is %s", got)
	}
	if entries, err := os.ReadDir(filepath.Dir(u.file())); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// TestNothingElse demands that the child learns of nothing but its order.
func TestNothingElse(t *testing.T) {
	t.Setenv("SECRET_OF_THE_ENGINE", "1")
	u := User{Home: "/home/alice"}
	cmd := u.child(t.Context())
	if got := strings.Join(cmd.Args, " "); got != "hull credentials" {
		t.Errorf("its arguments are %q", got)
	}
	want := "HOME=/home/alice PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin:/home/alice/.local/bin:/home/alice/bin"
	if got := strings.Join(cmd.Env, " "); got != want {
		t.Errorf("its environment is %q", got)
	}
	r := resident(t)
	r.install(t, "spy", `env > "$HOME/env"; umask >> "$HOME/env"; echo '{"Username":"a","Secret":"b"}'`)
	r.configure(t, `{"credsStore":"spy"}`)
	r.Runtime = r.Home
	if _, err := Get(t.Context(), r, "ghcr.io"); err != nil {
		t.Fatal(err)
	}
	got := read(t, filepath.Join(r.Home, "env"))
	if strings.Contains(got, "SECRET") || !strings.Contains(got, "XDG_RUNTIME_DIR="+r.Home) || !strings.Contains(got, "0077") || !strings.Contains(got, "HOME="+r.Home) {
		t.Errorf("a helper's environment is\n%s", got)
	}
}

func TestRefused(t *testing.T) {
	u := resident(t)
	for _, domain := range []string{"", "a b", "a\nb", "a/b", "https://a", strings.Repeat("a", 301), "a\x1b[2J"} {
		_, err := Get(t.Context(), u, domain)
		failure(t, err, Malformed)
	}
	_, err := Store(t.Context(), u, "ghcr.io", registry.Credential{User: "a", Password: strings.Repeat("s3cret", maxSecret)})
	failure(t, err, Malformed)
	nobody := User{UID: u.UID, GID: u.GID}
	if got, err := Get(t.Context(), nobody, "ghcr.io"); err != nil || got != (registry.Credential{}) {
		t.Error(got, err)
	}
	_, err = Store(t.Context(), nobody, "ghcr.io", alice)
	failure(t, err, Homeless)
	if err := Erase(t.Context(), nobody, "ghcr.io"); err != nil {
		t.Error(err)
	}
	_, err = Get(t.Context(), User{UID: u.UID, GID: u.GID, Home: "relative"}, "ghcr.io")
	failure(t, err, Malformed)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Get(ctx, u, "ghcr.io")
	failure(t, err, Cancelled)
	ctx, cancel = context.WithTimeout(t.Context(), 0)
	defer cancel()
	_, err = Get(ctx, u, "ghcr.io")
	failure(t, err, Timeout)
}

// TestConfigDirectory follows the user's DOCKER_CONFIG.
func TestConfigDirectory(t *testing.T) {
	u := resident(t)
	u.Config = filepath.Join(u.Home, "elsewhere")
	stored, err := Store(t.Context(), u, "ghcr.io", alice)
	if err != nil || stored.File != filepath.Join(u.Config, "config.json") {
		t.Fatal(stored, err)
	}
	if got, err := Get(t.Context(), u, "ghcr.io"); err != nil || got != alice {
		t.Error(got, err)
	}
	if _, err := os.Stat(u.file()); !os.IsNotExist(err) {
		t.Error("the usual file is there as well")
	}
}

// TestPodman reads what is only in Podman's file, and forgets it there.
func TestPodman(t *testing.T) {
	u := resident(t)
	write(t, filepath.Join(u.Runtime, "containers", "auth.json"), `{"auths":{"first.test":{"auth":"Ym9iOnB3"}}}`)
	theirs := filepath.Join(u.Home, ".config", "containers", "auth.json")
	write(t, theirs, `{"auths":{"docker.io":{"auth":"Ym9iOnB3"},"quay.io/team":{"auth":"Ym9iOnB3"},"ghcr.io":{"auth":"Ym9iOnB3"}}}`)
	u.configure(t, `{"auths":{"ghcr.io":{"auth":"YWxpY2U6czNjcmV0OjwmPg=="}}}`)
	bob := registry.Credential{User: "bob", Password: "pw"}
	for domain, want := range map[string]registry.Credential{"docker.io": bob, "first.test": bob, "ghcr.io": alice, "quay.io": {}} {
		if got, err := Get(t.Context(), u, domain); err != nil || got != want {
			t.Errorf("%s has %v, %v", domain, got, err)
		}
	}
	for _, domain := range []string{"docker.io", "ghcr.io"} {
		if err := Erase(t.Context(), u, domain); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, theirs); got != "{\n\t\"auths\": {\n\t\t\"quay.io/team\": {\n\t\t\t\"auth\": \"Ym9iOnB3\"\n\t\t}\n\t}\n}" {
		t.Errorf("the file is %s", got)
	}
}

// TestAtOnce has many logins stored at the same time; none gets lost.
func TestAtOnce(t *testing.T) {
	u := resident(t)
	domains := []string{"a.test", "b.test", "c.test", "d.test", "e.test", "f.test", "g.test", "h.test"}
	var wg sync.WaitGroup
	for _, domain := range domains {
		wg.Go(func() {
			if _, err := Store(t.Context(), u, domain, alice); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, domain := range domains {
		if got, err := Get(t.Context(), u, domain); err != nil || got != alice {
			t.Errorf("%s has %v, %v", domain, got, err)
		}
	}
}

func TestLookup(t *testing.T) {
	if u := Lookup(0); u.Home != "/root" || u.GID != 0 {
		t.Errorf("root is %+v", u)
	}
	if u := Lookup(4_000_000_000); u.UID != 4_000_000_000 || u.GID != 4_000_000_000 || u.Home != "" {
		t.Errorf("nobody is %+v", u)
	}
}

func TestKinds(t *testing.T) {
	for k := System; k <= Cancelled; k++ {
		if kindNamed(k.String()) != k {
			t.Errorf("the kind %v does not come back", k)
		}
	}
	if kindNamed("?") != System || kindNamed("") != System || Kind(99).String() != "kind 99" {
		t.Error("unknown kinds")
	}
}
