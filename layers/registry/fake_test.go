package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hull/layers/reference"
)

// fake is go-containerregistry's in-process registry, with a door before it at
// which tests make things go wrong.
type fake struct {
	*httptest.Server
	inner http.Handler

	mu       sync.Mutex
	fault    func(w http.ResponseWriter, r *http.Request) (handled bool)
	requests []seen
}

// seen is what a request was.
type seen struct{ method, path, host, auth, span, referer string }

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{inner: ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(f.serve))
	f.Config.ErrorLog = log.New(io.Discard, "", 0)
	f.Start()
	t.Cleanup(f.Close)
	return f
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests = append(f.requests, seen{
		r.Method, r.URL.Path, r.Host, r.Header.Get("Authorization"), r.Header.Get("Range"), r.Header.Get("Referer"),
	})
	fault := f.fault
	f.mu.Unlock()
	if fault == nil || !fault(w, r) {
		f.inner.ServeHTTP(w, r)
	}
}

// fail sets what goes wrong from now on, and forgets what was asked before.
func (f *fake) fail(fault func(w http.ResponseWriter, r *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault, f.requests = fault, nil
}

// asked returns the requests since fail for paths that contain part.
func (f *fake) asked(part string) []seen {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []seen
	for _, r := range f.requests {
		if strings.Contains(r.path, part) {
			found = append(found, r)
		}
	}
	return found
}

func (f *fake) domain() string { return f.Listener.Addr().String() }

// ref is a reference to something in the registry: "app:1".
func (f *fake) ref(t *testing.T, name string) reference.Reference {
	t.Helper()
	r, err := reference.Parse(f.domain() + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// put stores something without passing the door.
func (f *fake) put(t *testing.T, method, path, contentType string, body []byte) {
	t.Helper()
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	f.inner.ServeHTTP(w, r)
	if w.Code != http.StatusCreated {
		t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
}

func (f *fake) blob(t *testing.T, repo string, body []byte) descriptor {
	t.Helper()
	d := descriptor{Digest: digestOf(body), Size: int64(len(body))}
	f.put(t, http.MethodPost, "/v2/"+repo+"/blobs/uploads/?digest="+d.Digest, "application/octet-stream", body)
	return d
}

func (f *fake) manifest(t *testing.T, repo, tag, mediaType string, body []byte) descriptor {
	t.Helper()
	d := descriptor{MediaType: mediaType, Digest: digestOf(body), Size: int64(len(body))}
	if tag == "" {
		tag = d.Digest
	}
	f.put(t, http.MethodPut, "/v2/"+repo+"/manifests/"+tag, mediaType, body)
	return d
}

// sample is an image as a test wants it.
type sample struct {
	repo, tag   string
	platform    v1.Platform // of its configuration; zero is linux/amd64
	layers      int
	configType  string // default OCI's
	layerType   string // default OCI's, gzip
	diffIDs     []string
	configSize  int64 // said of the configuration, if not 0
	configBlob  []byte
	mutateFinal func(map[string]any)
}

// push stores the image and returns its descriptor and its layers' bytes.
func (f *fake) push(t *testing.T, s sample) (descriptor, [][]byte) {
	t.Helper()
	if s.platform.OS == "" {
		s.platform = v1.Platform{OS: "linux", Architecture: "amd64"}
	}
	if s.configType == "" {
		s.configType = "application/vnd.oci.image.config.v1+json"
	}
	if s.layerType == "" {
		s.layerType = "application/vnd.oci.image.layer.v1.tar+gzip"
	}
	var blobs [][]byte
	layers := []any{}
	diffIDs := []string{}
	for i := range s.layers {
		b := noise(uint64(i)+1, 3000+i)
		d := f.blob(t, s.repo, b)
		blobs = append(blobs, b)
		layers = append(layers, map[string]any{"mediaType": s.layerType, "digest": d.Digest, "size": d.Size})
		diffIDs = append(diffIDs, digestOf([]byte(fmt.Sprint(i))))
	}
	if s.diffIDs != nil {
		diffIDs = s.diffIDs
	}
	if s.configBlob == nil {
		s.configBlob = jsonOf(t, map[string]any{
			"os": s.platform.OS, "architecture": s.platform.Architecture, "variant": s.platform.Variant,
			"rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs},
		})
	}
	c := f.blob(t, s.repo, s.configBlob)
	if s.configSize != 0 {
		c.Size = s.configSize
	}
	m := map[string]any{
		"schemaVersion": 2, "mediaType": ociManifest, "layers": layers,
		"config": map[string]any{"mediaType": s.configType, "digest": c.Digest, "size": c.Size},
	}
	if s.mutateFinal != nil {
		s.mutateFinal(m)
	}
	d := f.manifest(t, s.repo, s.tag, ociManifest, jsonOf(t, m))
	p := s.platform
	d.Platform = &p
	return d, blobs
}

// index stores an index of manifests, which have platforms or not.
func (f *fake) index(t *testing.T, repo, tag string, entries ...descriptor) descriptor {
	t.Helper()
	list := []any{}
	for _, e := range entries {
		m := map[string]any{"mediaType": e.MediaType, "digest": e.Digest, "size": e.Size}
		if e.Platform != nil {
			m["platform"] = e.Platform
		}
		list = append(list, m)
	}
	body := jsonOf(t, map[string]any{"schemaVersion": 2, "mediaType": ociIndex, "manifests": list})
	return f.manifest(t, repo, tag, ociIndex, body)
}

func jsonOf(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// noise is reproducible and does not compress.
func noise(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 7))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// client is a Client that waits for nothing longer than it must.
func client(t *testing.T, o Options) *Client {
	t.Helper()
	if o.Backoff == 0 {
		o.Backoff = time.Nanosecond
	}
	if o.Platform.OS == "" {
		o.Platform = v1.Platform{OS: "linux", Architecture: "amd64"}
	}
	if o.Proxy == nil {
		o.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	}
	c := New(o)
	t.Cleanup(c.Close)
	return c
}

// failure demands an *Error of that kind, and that its text is a fit line.
func failure(t *testing.T, err error, k Kind) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error of kind %q", err, k)
	}
	if e.Kind != k {
		t.Fatalf("got the kind %q, want %q: %v", e.Kind, k, err)
	}
	for _, c := range e.Error() {
		if c < ' ' || c == 0x7f {
			t.Errorf("control character %q in %q", c, e.Error())
		}
	}
	if len(e.Error()) > 3000 {
		t.Errorf("the message has %d bytes", len(e.Error()))
	}
	return e
}

// statusFault answers with a status for paths that contain part.
func statusFault(part string, status int, header http.Header, body string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, part) {
			return false
		}
		for k, v := range header {
			w.Header()[k] = v
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
		return true
	}
}

// times lets a fault happen n times.
func times(n int, fault func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		left := n
		mu.Unlock()
		if left == 0 || !fault(w, r) {
			return false
		}
		mu.Lock()
		n--
		mu.Unlock()
		return true
	}
}

func spans(all []seen) []string {
	out := []string{}
	for _, s := range all {
		out = append(out, s.span)
	}
	return out
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}
