package credentials

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"hull/layers/registry"
)

// TestMain makes the test's binary play the role that hull's does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Role {
		// Not os.Exit, which waits for a second under the race detector.
		syscall.Exit(Main(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// resident is who runs the test, with a home of the test's.
func resident(t *testing.T) User {
	t.Helper()
	home := t.TempDir()
	// Never the real user's Podman logins.
	return User{UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Home: home, Runtime: filepath.Join(home, "run")}
}

// configure writes the user's config.json.
func (u User) configure(t *testing.T, text string) {
	t.Helper()
	write(t, u.file(), text)
}

func (u User) file() string { return filepath.Join(u.Home, ".docker", "config.json") }

// install puts a helper program, a shell script, onto the user's PATH.
func (u *User) install(t *testing.T, name, script string) {
	t.Helper()
	bin := filepath.Join(u.Home, "bin")
	path := filepath.Join(bin, "docker-credential-"+name)
	write(t, path, "#!/bin/sh\n"+script)
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	u.Path = bin + ":/usr/bin:/bin"
}

// keeper is a helper that keeps one file a server in the user's home.
const keeper = `
cd "$HOME" || exit 1
case $1 in
store) input=$(cat)
	server=$(printf %s "$input" | sed 's/.*"ServerURL":"\([^"]*\)".*/\1/' | tr / _)
	printf %s "$input" > "kept:$server";;
get) server=$(tr / _)
	if [ -e "kept:$server" ]; then cat "kept:$server"; else echo credentials not found in native keychain; exit 1; fi;;
erase) server=$(tr / _)
	if [ -e "kept:$server" ]; then rm "kept:$server"; else echo credentials not found in native keychain; exit 1; fi;;
esac
`

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// failure demands an *Error of that kind that tells no secret and is a fit line.
func failure(t *testing.T, err error, k Kind) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error of kind %q", err, k)
	}
	if e.Kind != k {
		t.Fatalf("got the kind %q, want %q: %v", e.Kind, k, err)
	}
	text := fmt.Sprintf("%v %+v", e, e)
	if strings.Contains(text, "s3cret") || strings.ContainsFunc(e.Error(), func(c rune) bool { return c < ' ' }) {
		t.Errorf("it says %q", text)
	}
	return e
}

var alice = registry.Credential{User: "alice", Password: "s3cret:<&>"}
