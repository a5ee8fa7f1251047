package tests

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hull/tests/image"
	"hull/tests/need"
)

// TestScriptsWithDockerRegistry runs the scripts that need no misbehaving
// registry against the real server, as Debian packages it.
func TestScriptsWithDockerRegistry(t *testing.T) {
	needs(t)
	at := dockerRegistry(t)
	set, err := image.Set()
	if err != nil {
		t.Fatal(err)
	}
	if err := image.Push(at, set); err != nil {
		t.Fatal(err)
	}
	// What is pulled, tagged, run and browsed; the rest does not depend on the server.
	var some []string
	for _, name := range strings.Fields("pull pull-kinds pull-helper aliases tag run rootfs bad-images") {
		some = append(some, filepath.Join("testdata", name+".txtar"))
	}
	scripts(t, at, "", some)
}

// TestPushWithDockerRegistry runs the scripts that push. What is asked of the real
// server, which unlike the in-process one keeps repositories apart, is counted.
func TestPushWithDockerRegistry(t *testing.T) {
	needs(t)
	server := dockerRegistry(t)
	f := &faulty{inner: &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.Out.URL.Scheme, p.Out.URL.Host, p.Out.Host = "http", server, p.In.Host
	}, ErrorLog: log.New(io.Discard, "", 0)}}
	s := httptest.NewServer(f)
	t.Cleanup(func() { f.clear(); s.Close() })
	at := strings.TrimPrefix(s.URL, "http://")
	fronts.Store(at, f)
	t.Cleanup(func() { fronts.Delete(at) })
	set, err := image.Set()
	if err != nil {
		t.Fatal(err)
	}
	if err := image.Push(at, map[string]any{"host:1": set["host:1"], "big/one:1": set["big/one:1"]}); err != nil {
		t.Fatal(err)
	}
	f.forget()
	scripts(t, at, locked, all(t, "testdata/push/*.txtar"))
}

// TestLoginWithDockerRegistry logs in to the real server, which has a file of
// passwords.
func TestLoginWithDockerRegistry(t *testing.T) {
	needs(t)
	file := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(file, []byte("alice:"+secretHash+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	at := dockerRegistry(t, fmt.Sprintf("auth:\n  htpasswd: {realm: hull, path: %q}\n", file))
	scripts(t, addr, at, []string{filepath.Join("testdata", "login.txtar")})
}

// secretHash is bcrypt's of "secret".
const secretHash = "$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"

// dockerRegistry starts Debian's docker-registry on loopback. more is added to its
// configuration.
func dockerRegistry(t testing.TB, more ...string) (at string) {
	t.Helper()
	at, _ = dockerRegistryLog(t, more...)
	return at
}

// dockerRegistryLog is dockerRegistry, and the file with a line for each request.
func dockerRegistryLog(t testing.TB, more ...string) (at, requests string) {
	t.Helper()
	path := tool(t, "docker-registry")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at = l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage:\n  filesystem: {rootdirectory: %s}\n  delete: {enabled: true}\nhttp: {addr: %q}\n", dir, at) + strings.Join(more, "")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "serve", config)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
	})
	deadline := time.Now().Add(patience)
	for {
		r, err := http.Get("http://" + at + "/v2/")
		if err == nil {
			_ = r.Body.Close()
			return at, log.Name()
		}
		if time.Now().After(deadline) {
			b, _ := os.ReadFile(log.Name())
			t.Fatalf("docker-registry does not answer: %v\n%s", err, b)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// tool finds a program of the machine, or skips the test, or fails it where
// everything must be there.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	for _, d := range strings.Fields("/usr/sbin /usr/bin /sbin /bin") {
		if _, err := os.Stat(filepath.Join(d, name)); err == nil {
			return filepath.Join(d, name)
		}
	}
	need.Lacking(t, name)
	return ""
}
