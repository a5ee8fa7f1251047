package credentials

import (
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hull/layers/registry"
)

// guarded is a registry that knows alice, with a password that the tools below
// take as it is.
func guarded(t *testing.T) (domain string, cred registry.Credential) {
	t.Helper()
	cred = registry.Credential{User: "alice", Password: "s3cret"}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != cred.User || password != cred.Password {
			w.Header().Set("WWW-Authenticate", `Basic realm="here"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.URL.Path == "/v2/app/tags/list" {
			_, _ = w.Write([]byte(`{"tags":["1"]}`))
		}
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), cred
}

// TestShared has other tools log in for hull, and out after it, through the files
// that they share.
func TestShared(t *testing.T) {
	for _, tool := range []struct{ name, file string }{
		{"docker", ".docker/config.json"},
		{"skopeo", ".config/containers/auth.json"},
		{"podman", ".config/containers/auth.json"},
	} {
		t.Run(tool.name, func(t *testing.T) {
			path, err := exec.LookPath(tool.name)
			if err != nil {
				t.Skip(tool.name + " is not installed")
			}
			domain, cred := guarded(t)
			u := resident(t)
			// Without any login there, docker might choose a helper of the machine's.
			u.configure(t, `{"auths":{"other.test":{"auth":"eDp5"}}}`)
			run := func(args ...string) {
				t.Helper()
				if tool.name != "docker" {
					args = append(args, "--authfile", filepath.Join(u.Home, tool.file))
				}
				cmd := exec.Command(path, args...)
				cmd.Stdin = strings.NewReader(cred.Password)
				// No daemon of the machine's is to be asked.
				cmd.Env = []string{"HOME=" + u.Home, "PATH=/usr/bin:/bin", "DOCKER_HOST=unix://" + u.Home + "/nosuch"}
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%s %s: %v\n%s", tool.name, args[0], err, out)
				}
			}
			login := []string{"login", "--username", cred.User, "--password-stdin", domain}
			if tool.name != "docker" {
				login = append(login, "--tls-verify=false")
			}
			run(login...)
			if got, err := Get(t.Context(), u, domain); err != nil || got != cred {
				t.Fatalf("after the login: %v, %v", got, err)
			}
			if err := Erase(t.Context(), u, domain); err != nil {
				t.Fatal(err)
			}
			if got, err := Get(t.Context(), u, domain); err != nil || got != (registry.Credential{}) {
				t.Fatalf("after erasing: %v, %v", got, err)
			}
			if tool.name != "docker" {
				return // their files are only read
			}
			if _, err := Store(t.Context(), u, domain, cred); err != nil {
				t.Fatal(err)
			}
			run("logout", domain)
			if got, err := Get(t.Context(), u, domain); err != nil || got != (registry.Credential{}) {
				t.Errorf("after the logout: %v, %v", got, err)
			}
		})
	}
}
