// Package tests holds the product as a user meets it: scripts on a real mount,
// with a real registry, real terminals and a daemon that is killed.
//
// Scripts are testdata/*.txtar under testscript. What they can use beside
// testscript's own commands stands in commands_test.go.
package tests

import (
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"golang.org/x/sys/unix"

	"hull/cmd/hull/early"
	"hull/tests/image"
	"hull/tests/need"
	"hull/tests/netns"
)

var (
	// hull is the binary under test, built once as users get it, or the one HULL_TEST_BINARY names (where there is no
	// compiler).
	hull string
	// addr is the in-process registry's, "127.0.0.1:port".
	addr string
	// locked is the address of the same registry for those who log in.
	locked string
	// reg can be told to misbehave.
	reg *faulty
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(guardVar); dir != "" {
		stand(os.Stdin, dir)
		os.Exit(0)
	}
	if err := netns.Enter(); err != nil {
		log.Fatal(err)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	// Whoever starts the tests may ignore signals, and what is started here must not: scripts send them.
	for _, s := range []os.Signal{unix.SIGINT, unix.SIGQUIT, unix.SIGHUP, unix.SIGTERM, unix.SIGPIPE} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	dir, err := os.MkdirTemp("", "hull-tests-")
	if err != nil {
		log.Print(err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // other users execute what is in it
		log.Print(err)
		return 1
	}
	if hull = os.Getenv("HULL_TEST_BINARY"); hull == "" {
		hull = filepath.Join(dir, "hull")
		build := exec.Command("go", "build", "-ldflags", early.LinkerFlag, "-o", hull, "hull/cmd/hull")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := netns.Outside(build); err != nil {
			log.Printf("build hull: %v\n%s", err, out)
			return 1
		}
	}
	set, err := image.Set()
	if err != nil {
		log.Print(err)
		return 1
	}
	reg = &faulty{inner: registry.New(registry.Logger(log.New(discard{}, "", 0)))}
	srv := httptest.NewServer(reg)
	defer func() { reg.clear(); srv.Close() }()
	addr = strings.TrimPrefix(srv.URL, "http://")
	door := httptest.NewServer(withPassword(reg))
	defer door.Close()
	locked = strings.TrimPrefix(door.URL, "http://")
	if err := image.Push(addr, set); err != nil {
		log.Print(err)
		return 1
	}
	reg.forget()
	reg.keep(slices.Collect(maps.Keys(set)))
	if theGuard, err = newGuard(dir); err != nil {
		log.Print(err)
		return 1
	}
	code := m.Run()
	if err := dockerd.end(); err != nil {
		log.Printf("ending dockerd: %v", err)
		return 1
	}
	if err := theGuard.dismiss(); err != nil {
		log.Printf("the guard of this run: %v", err)
		return 1
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if err = netns.Left(); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		log.Print(err)
		return 1
	}
	return code
}

// withPassword lets nobody but alice by.
func withPassword(inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "alice" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="hull"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"log in first"}]}`, http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	})
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// needs skips a test that cannot run here, or fails it where it must.
func needs(t testing.TB) {
	t.Helper()
	need.Mount(t)
}
