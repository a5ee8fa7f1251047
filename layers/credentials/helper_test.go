package credentials

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"hull/layers/registry"
)

// TestHelper keeps logins with a helper program; the file only says so.
func TestHelper(t *testing.T) {
	for name, text := range map[string]string{
		"for all":       `{"credsStore":"keeper"}`,
		"for some":      `{"credHelpers":{"https://index.docker.io/v1/":"keeper","ghcr.io":"keeper"}}`,
		"for the other": `{"credsStore":"nosuch","credHelpers":{"docker.io":"keeper","ghcr.io":"keeper"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			u := resident(t)
			u.install(t, "keeper", keeper)
			u.configure(t, text)
			token := registry.Credential{IdentityToken: "s3cret-token"}
			for domain, cred := range map[string]registry.Credential{"docker.io": alice, "ghcr.io": token} {
				if got, err := Get(t.Context(), u, domain); err != nil || got != (registry.Credential{}) {
					t.Errorf("before, %s has %v, %v", domain, got, err)
				}
				stored, err := Store(t.Context(), u, domain, cred)
				if err != nil || stored.Helper != "keeper" || stored.Warning() != "" {
					t.Fatal(stored, err)
				}
				if got, err := Get(t.Context(), u, domain); err != nil || got != cred {
					t.Errorf("%s has %v, %v", domain, got, err)
				}
			}
			if got := read(t, u.file()); strings.Contains(got, "auth\"") || strings.Contains(got, "s3cret") || !strings.Contains(got, `"https://index.docker.io/v1/": {}`) {
				t.Errorf("the file is %s", got)
			}
			if got := read(t, filepath.Join(u.Home, "kept:ghcr.io")); !strings.Contains(got, `"Username":"<token>"`) && !strings.Contains(got, `"Username":"\u003ctoken\u003e"`) {
				t.Errorf("the helper got %s", got)
			}
			for _, domain := range []string{"docker.io", "ghcr.io", "ghcr.io"} {
				if err := Erase(t.Context(), u, domain); err != nil {
					t.Fatal(err)
				}
				if got, err := Get(t.Context(), u, domain); err != nil || got != (registry.Credential{}) {
					t.Errorf("afterwards, %s has %v, %v", domain, got, err)
				}
			}
			if got := read(t, u.file()); !strings.Contains(got, `"auths": {}`) {
				t.Errorf("the file is %s", got)
			}
		})
	}
}

// TestHelperFails has helpers that are broken in each way.
func TestHelperFails(t *testing.T) {
	for name, a := range map[string]struct{ script, says string }{
		"fails":     {`echo the keyring is locked; exit 1`, "the credential helper docker-credential-odd failed: the keyring is locked"},
		"silent":    {`exit 3`, "the credential helper docker-credential-odd failed (exit status 3)"},
		"tells":     {`echo '{"Username":"a","Secret":"s3cret"}'; exit 1`, "the credential helper docker-credential-odd failed (exit status 1)"},
		"echoes":    {`cat; exit 1`, ""},
		"nonsense":  {`echo hello`, "the credential helper docker-credential-odd answers nonsense"},
		"endless":   {`while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done`, ""},
		"killed":    {`kill -9 $$`, "the credential helper docker-credential-odd failed (signal: killed)"},
		"scribbles": {`printf 'a\033[2Jb\nc'; exit 1`, "the credential helper docker-credential-odd failed: a?[2Jb c"},
	} {
		t.Run(name, func(t *testing.T) {
			u := resident(t)
			u.install(t, "odd", a.script)
			u.configure(t, `{"credsStore":"odd"}`)
			_, err := Get(t.Context(), u, "ghcr.io")
			e := failure(t, err, Helper)
			if a.says != "" && e.Reason != a.says {
				t.Errorf("it says %q", e.Reason)
			}
			if name == "nonsense" {
				return // which is no failure of the other two
			}
			_, err = Store(t.Context(), u, "ghcr.io", alice)
			failure(t, err, Helper)
			failure(t, Erase(t.Context(), u, "ghcr.io"), Helper)
			if got := read(t, u.file()); got != `{"credsStore":"odd"}` {
				t.Errorf("the file is %s", got)
			}
		})
	}
	u := resident(t)
	u.configure(t, `{"credsStore":"nosuch"}`)
	_, err := Get(t.Context(), u, "ghcr.io")
	if e := failure(t, err, Helper); !strings.Contains(e.Reason, "docker-credential-nosuch") || !strings.Contains(e.Reason, "not installed") {
		t.Errorf("it says %q", e.Reason)
	}
	// A helper that leaves something behind with its output has answered.
	u.install(t, "daemon", `sleep 1000 & echo $! > "$HOME/left"; echo '{"Username":"a","Secret":"b"}'`)
	u.configure(t, `{"credsStore":"daemon"}`)
	got, err := Get(t.Context(), u, "ghcr.io")
	if err != nil || got != (registry.Credential{User: "a", Password: "b"}) {
		t.Error(got, err)
	}
	end(t, filepath.Join(u.Home, "left"))
}

// TestHelperHangs ends a call whose helper does not answer, and the helper, and
// what that has begun.
func TestHelperHangs(t *testing.T) {
	u := resident(t)
	u.install(t, "slow", `sleep 1000 & echo $! > "$HOME/pid.new"; mv "$HOME/pid.new" "$HOME/pid"; wait`)
	u.configure(t, `{"credsStore":"slow"}`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	answered := make(chan error)
	go func() {
		_, err := Get(ctx, u, "ghcr.io")
		answered <- err
	}()
	pid := ""
	await(t, "the helper to begin", func() bool {
		b, err := os.ReadFile(filepath.Join(u.Home, "pid"))
		pid = strings.TrimSpace(string(b))
		return err == nil
	})
	cancel()
	failure(t, <-answered, Cancelled)
	await(t, "the helper's own to end", func() bool { return !lives(pid) })
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 30 seconds for %s", what)
		}
	}
}

// lives reports whether a process is there and no zombie.
func lives(pid string) bool {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// end kills a process that a test's helper has begun.
func end(t *testing.T, file string) {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(read(t, file)))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := os.FindProcess(pid); err == nil {
		p.Kill()
	}
}
