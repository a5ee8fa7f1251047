package layers

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"hull/tests/need"
)

// needRoot skips where layers cannot be unpacked: whiteouts are devices, and
// owners are the image's.
func needRoot(t testing.TB) {
	t.Helper()
	need.Root(t, "layers have devices and owners")
}

// testRegistry is go-containerregistry's, with a gate and faults before it.
type testRegistry struct {
	*httptest.Server
	host string

	mu     sync.Mutex
	served map[string]int64                   // bytes of blobs that went out, by digest
	asked  map[string]int                     // requests for blobs, by digest
	blob   func(digest string) blobFault      // what to do with a request for a blob; nil = serve it
	before func(r *http.Request) (status int) // 0 = serve it
}

// blobFault says what happens to one request for a blob. The zero value is none.
type blobFault struct {
	wait    <-chan struct{} // before the first byte
	cut     int64           // break the connection after so many bytes
	corrupt bool            // flip a bit of the first byte
	fail    int             // status
}

func newRegistry(t testing.TB) *testRegistry {
	r := &testRegistry{served: map[string]int64{}, asked: map[string]int{}}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.serve(inner, w, req)
	}))
	r.host = strings.TrimPrefix(r.URL, "http://")
	t.Cleanup(func() {
		r.CloseClientConnections()
		r.Close()
	})
	return r
}

func (r *testRegistry) serve(inner http.Handler, w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	before, fault := r.before, r.blob
	r.mu.Unlock()
	if before != nil {
		if status := before(req); status != 0 {
			w.WriteHeader(status)
			return
		}
	}
	_, digest, isBlob := strings.Cut(req.URL.Path, "/blobs/sha256:")
	if !isBlob || req.Method != http.MethodGet {
		inner.ServeHTTP(w, req)
		return
	}
	digest = "sha256:" + digest
	var f blobFault
	if fault != nil {
		f = fault(digest)
	}
	r.mu.Lock()
	r.asked[digest]++
	r.mu.Unlock()
	if f.wait != nil {
		select {
		case <-f.wait:
		case <-req.Context().Done():
			return
		}
	}
	if f.fail != 0 {
		w.WriteHeader(f.fail)
		return
	}
	inner.ServeHTTP(&blobWriter{ResponseWriter: w, r: r, digest: digest, fault: f}, req)
}

// blobWriter counts, breaks and corrupts a blob on its way out.
type blobWriter struct {
	http.ResponseWriter
	r      *testRegistry
	digest string
	fault  blobFault
	n      int64
}

func (w *blobWriter) Write(b []byte) (int, error) {
	if w.fault.corrupt && w.n == 0 && len(b) > 0 {
		b = append([]byte(nil), b...)
		b[0] ^= 1
	}
	if w.fault.cut > 0 && w.n+int64(len(b)) > w.fault.cut {
		b = b[:w.fault.cut-w.n]
		w.count(b)
		_, _ = w.ResponseWriter.Write(b)
		if f, ok := w.ResponseWriter.(http.Flusher); ok {
			f.Flush()
		}
		panic(http.ErrAbortHandler)
	}
	w.count(b)
	return w.ResponseWriter.Write(b)
}

// count counts what is about to go out: who has got it all looks at once.
func (w *blobWriter) count(b []byte) {
	w.n += int64(len(b))
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	w.r.served[w.digest] += int64(len(b))
}

func (r *testRegistry) setBlob(f func(digest string) blobFault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blob = f
}

func (r *testRegistry) setBefore(f func(*http.Request) int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before = f
}

func (r *testRegistry) bytesOf(digest string) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.served[digest]
}

func (r *testRegistry) requestsOf(digest string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked[digest]
}

// ref is the reference of an image in the registry.
func (r *testRegistry) ref(rest string) string { return r.host + "/" + rest }

// push puts an image there.
func (r *testRegistry) push(t testing.TB, rest string, img v1.Image) {
	t.Helper()
	ref, err := name.ParseReference(r.ref(rest))
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
}

// file is one entry of a layer made for a test.
type file struct {
	name, content string
	dir           bool
	link          string // hard link to
	mode          int64
}

// openStore opens a swept store that the test closes.
func openStore(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s := openUnswept(t, dir, o)
	if err := s.Sweep(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return s
}

func openUnswept(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	if o.FreePercent == 0 {
		o.FreePercent = -1 // the machine of the test may be full
	}
	if o.Backoff == 0 {
		o.Backoff = time.Millisecond
	}
	if o.Retries == 0 {
		o.Retries = 2
	}
	s, err := Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

// closeStore closes the store and demands that nothing of it stays open.
func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, s.dir+"/") {
			t.Errorf("the closed store has %s open", to)
		}
	}
}

// pullNow pulls and waits for the end.
func pullNow(t testing.TB, s *Store, ref string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Pull(ctx, ref, PullOptions{}); err != nil {
		return err
	}
	return s.Wait(ctx, ref)
}

func mustPull(t testing.TB, s *Store, ref string) *Image {
	t.Helper()
	if err := pullNow(t, s, ref); err != nil {
		t.Fatalf("pull: %v", err)
	}
	return mustFind(t, s, ref)
}

func mustFind(t testing.TB, s *Store, ref string) *Image {
	t.Helper()
	im, ok := s.Find(ref)
	if !ok {
		t.Fatalf("%s is not in the store", ref)
	}
	return im
}

// await polls for what comes in the background.
func await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 30 s for: %s", what)
		}
	}
}

// names lists a directory of the store.
func names(t testing.TB, s *Store, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.dir, dir))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		if e.Name() != emptyLayer {
			list = append(list, e.Name())
		}
	}
	return list
}

// wantKind fails unless err is of a kind.
func wantKind(t testing.TB, err error, kind Kind) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one of kind %v", kind)
	}
	if got := KindOf(err); got != kind {
		t.Fatalf("error of kind %v, want %v: %v", got, kind, err)
	}
}

// text is all of a pull's progress.
func text(t testing.TB, p *Progress) string {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(p, 0, p.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// lyingLayer says another diff ID than its content has.
type lyingLayer struct{ v1.Layer }

func (lyingLayer) DiffID() (v1.Hash, error) {
	return v1.NewHash("sha256:" + strings.Repeat("ab", 32))
}

// rawLayer is a layer of any bytes.
func rawLayer(t testing.TB, content []byte) v1.Layer {
	t.Helper()
	return static.NewLayer(content, types.OCIUncompressedLayer)
}

// onlyLayers is a fault for an image's layers and not for its config.
func onlyLayers(t testing.TB, img v1.Image, f blobFault) func(string) blobFault {
	config := idOf(t, img)
	return func(digest string) blobFault {
		if digest == config {
			return blobFault{}
		}
		return f
	}
}
