package tests

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hull/tests/image"
)

// TestHub runs the scripts of testdata/hub: hull behind a proxy, which leads to a
// Docker Hub of the tests' own with its token server and its index, all of them with
// certificates of an authority that only hub.pem knows.
//
// In their environment: HTTPS_PROXY and HTTP_PROXY, SSL_CERT_FILE, HUBLOG, a file of
// what the proxy was asked for, one host a line.
func TestHub(t *testing.T) {
	needs(t)
	dir := t.TempDir()
	h := &hub{inner: reg, log: filepath.Join(dir, "asked"), limited: map[string]bool{}}
	if err := os.WriteFile(h.log, nil, 0o644); err != nil { //nolint:gosec // scripts read it
		t.Fatal(err)
	}
	authority := h.serve(t, filepath.Join(dir, "hub.pem"))
	proxy := httptest.NewServer(http.HandlerFunc(h.proxy))
	t.Cleanup(proxy.Close)
	set, err := image.Set()
	if err != nil {
		t.Fatal(err)
	}
	if err := image.Push(addr, map[string]any{
		"library/hello:1": set["host:1"], "library/hello:latest": set["host:1"], "library/limited:1": set["host:1"],
		"alice/own:1": set["host:2"], "inner/app:1": set["host:1"],
	}); err != nil {
		t.Fatal(err)
	}
	scripts(t, addr, locked, all(t, "testdata/hub/*.txtar"),
		"HTTPS_PROXY="+proxy.URL, "HTTP_PROXY="+proxy.URL, "SSL_CERT_FILE="+authority, "HUBLOG="+h.log)
}

// hub is Docker Hub as far as a client sees it: three hosts, of which one gives
// tokens for the others.
type hub struct {
	inner http.Handler
	log   string
	tls   string // address of the hosts' common server

	mu      sync.Mutex
	limited map[string]bool // paths that have been refused once
}

// proxy takes CONNECT to the hub's hosts, and asks for what is not encrypted itself.
func (h *hub) proxy(w http.ResponseWriter, r *http.Request) {
	h.note(r.Method + " " + r.Host)
	switch {
	case strings.HasPrefix(r.Host, "refused."):
		http.Error(w, "not through here", http.StatusForbidden)
	case r.Method == http.MethodConnect:
		to := h.tls
		if strings.HasPrefix(r.Host, "inner.test") {
			to = addr // which speaks no TLS
		}
		h.connect(w, to)
	case strings.HasPrefix(r.Host, "inner.test"):
		(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.Out.URL.Host = addr }}).ServeHTTP(w, r)
	default:
		http.Error(w, "no such host", http.StatusBadGateway)
	}
}

func (h *hub) note(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f, err := os.OpenFile(h.log, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return // the test's directory is gone: nobody reads it any more
	}
	defer f.Close()
	_, _ = fmt.Fprintln(f, line) // a script that looks for it fails
}

// connect leads a connection to a server.
func (h *hub) connect(w http.ResponseWriter, address string) {
	to, err := net.Dial("tcp", address)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer to.Close()
	w.WriteHeader(http.StatusOK)
	from, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer from.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(to, buffered) // what breaks is the script's to see
		_ = to.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(from, to)
	_ = from.Close()
	<-done
}

// ServeHTTP is each of the hosts.
func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Host {
	case "registry-1.docker.io":
		h.registry(w, r)
	case "auth.docker.io":
		h.token(w, r)
	case "index.docker.io":
		h.index(w, r)
	default: // a registry without logins
		h.inner.ServeHTTP(w, r)
	}
}

// registry wants a token for everything, and has the right one for what is asked.
func (h *hub) registry(w http.ResponseWriter, r *http.Request) {
	repo, need := repository(r.URL.Path), "pull"
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		need = "push"
	}
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	text, _ := base64.RawURLEncoding.DecodeString(bearer)
	token := string(text)
	granted := strings.Fields(token)
	allowed := len(granted) > 1 && granted[0] == "granted"
	if repo != "" {
		allowed = allowed && strings.Contains(token, repo+":") && strings.Contains(token, need)
	}
	if !allowed {
		challenge := `Bearer realm="https://auth.docker.io/token",service="registry.docker.io"`
		if repo != "" {
			challenge += fmt.Sprintf(`,scope="repository:%s:pull"`, repo)
		}
		w.Header().Set("WWW-Authenticate", challenge)
		http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
		return
	}
	if r.URL.Path == "/v2/library/many/tags/list" { // five, two a page
		last, _ := strconv.Atoi(r.URL.Query().Get("last"))
		if last+2 < 5 {
			w.Header().Set("Link", fmt.Sprintf(`</v2/library/many/tags/list?last=%d&n=2>; rel="next"`, last+2))
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"name": "library/many", "tags": []string{"a", "b", "c", "d", "e"}[last:min(last+2, 5)]})
		return
	}
	if repo == "library/limited" && h.once(r.URL.Path) {
		w.Header().Set("Retry-After", "1")
		http.Error(w, `{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit. You may increase the limit by authenticating and upgrading: https://www.docker.com/increase-rate-limit"}]}`, http.StatusTooManyRequests)
		return
	}
	h.inner.ServeHTTP(w, r)
}

func (h *hub) once(path string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.limited[path]
	h.limited[path] = true
	return !old
}

// token grants pulls of library/ to everybody, and all of alice/ to alice. As the
// Hub's it refuses a wrong password, and gives less than was asked for without a word.
func (h *hub) token(w http.ResponseWriter, r *http.Request) {
	user, password, given := r.BasicAuth()
	if given && (user != "alice" || password != secretWord) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"details":"incorrect username or password"}`)
		return
	}
	token := "granted " + r.URL.Query().Get("service")
	for _, scope := range r.URL.Query()["scope"] {
		parts := strings.Split(scope, ":")
		if len(parts) != 3 {
			continue
		}
		switch {
		case strings.HasPrefix(parts[1], "alice/") && given:
			token += " " + parts[1] + ":pull,push"
		case strings.HasPrefix(parts[1], "library/"):
			token += " " + parts[1] + ":pull"
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"token": base64.RawURLEncoding.EncodeToString([]byte(token)), "expires_in": 300})
}

// secretWord is alice's password at the hub.
const secretWord = `pa ss"w\o'rd§%s$HOME`

// index answers searches in the Hub's form, or in no form at all.
func (h *hub) index(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/search" {
		http.NotFound(w, r)
		return
	}
	switch q := r.URL.Query().Get("q"); q {
	case "broken":
		http.Error(w, "the index is being mended", http.StatusBadGateway)
	case "page":
		_, _ = io.WriteString(w, "<html>Log in to the hotel's network</html>")
	case "endless":
		_, _ = io.WriteString(w, `{"results":[`)
		for i := 0; i < 1<<20; i++ {
			if _, err := fmt.Fprintf(w, `{"name":"n%d","description":"%s"},`, i, strings.Repeat("x", 1000)); err != nil {
				return
			}
		}
	default:
		_ = json.NewEncoder(w).Encode(map[string]any{
			"num_pages": 1, "num_results": 3, "page_size": 25, "page": 1, "query": q,
			"results": []map[string]any{
				{"name": "redis", "description": "Redis is the world\u2019s fastest data platform for caching, vector search", "star_count": 13000, "is_official": true, "is_automated": false, "is_trusted": false},
				{"name": "acme/redis", "description": "two\nlines \x1b[2J\x1b]0;title\x07", "star_count": 4},
				{"name": "bitnami/redis", "description": nil, "star_count": 0},
			},
		})
	}
}

// serve starts the hosts' common server and writes its authority to a file.
func (h *hub) serve(t *testing.T, path string) (authority string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of the tests"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	host := *root
	host.SerialNumber, host.IsCA, host.KeyUsage = big.NewInt(2), false, x509.KeyUsageDigitalSignature
	host.DNSNames = []string{"registry-1.docker.io", "auth.docker.io", "index.docker.io", "secure.test", "mirror.test"}
	leaf, err := x509.CreateCertificate(rand.Reader, &host, root, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf}, PrivateKey: key}}} //nolint:gosec // the default of versions will do
	s.Config.ErrorLog = log.New(io.Discard, "", 0)                                                       // of those who do not trust it
	s.StartTLS()
	t.Cleanup(s.Close)
	h.tls = s.Listener.Addr().String()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(path, text, 0o644); err != nil { //nolint:gosec // it is public
		t.Fatal(err)
	}
	return path
}
