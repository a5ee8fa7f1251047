package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hull/layers/reference"
)

// bulk is an image with one layer of 3000 bytes, and a registry for it.
func bulk(t *testing.T, o Options) (*Client, *pulled, *fake, *uploads) {
	t.Helper()
	c := client(t, o)
	p := fetchSample(t, newFake(t), c, sample{repo: "app", tag: "1", layers: 1})
	f := newFake(t)
	f.blob(t, "app", p.img.Config) // of the layer only is to be told
	return c, p, f, newUploads(t, f)
}

func TestPieces(t *testing.T) {
	c, p, f, u := bulk(t, Options{})
	o := p.options()
	o.Chunk = 1024
	target := f.ref(t, "app:1")
	if _, err := c.Push(t.Context(), target, p.img, o); err != nil {
		t.Fatal(err)
	}
	same(t, "requests", u.seen(), []string{"POST", "PATCH 0-1023", "PATCH 1024-2047", "PATCH 2048-2999", "PUT"})
	p.there(t, c, target)
}

// TestResumedUpload has connections break within pieces: what arrived is not
// sent again.
func TestResumedUpload(t *testing.T) {
	c, p, f, u := bulk(t, Options{Retries: 1})
	// Of the retries there is one, but each piece brings it back.
	u.broken = func(patch int) int {
		switch patch {
		case 1:
			return 500
		case 3:
			return 0
		case 5:
			return 1
		}
		return -1
	}
	o := p.options()
	o.Chunk = 1024
	target := f.ref(t, "app:1")
	if _, err := c.Push(t.Context(), target, p.img, o); err != nil {
		t.Fatal(err)
	}
	same(t, "requests", u.seen(), []string{
		"POST", "PATCH 0-1023", "GET", "PATCH 500-1523", "PATCH 1524-2547", "GET", "PATCH 1524-2547",
		"PATCH 2548-2999", "GET", "PATCH 2549-2999", "PUT",
	})
	p.there(t, c, target)
}

// TestUploadBegunAgain has a registry that does not say what has arrived, or
// has forgotten the upload.
func TestUploadBegunAgain(t *testing.T) {
	c, p, f, u := bulk(t, Options{Retries: 1})
	u.status = false
	u.broken = func(patch int) int {
		if patch == 2 {
			return 10
		}
		return -1
	}
	o := p.options()
	o.Chunk = 2000
	if _, err := c.Push(t.Context(), f.ref(t, "app:1"), p.img, o); err == nil {
		t.Fatal("one repetition was enough for a break and a refusal")
	}
	c = client(t, Options{Retries: 2})
	f2 := newFake(t)
	f2.blob(t, "app", p.img.Config)
	u2 := newUploads(t, f2)
	u2.status, u2.broken = false, u.broken
	if _, err := c.Push(t.Context(), f2.ref(t, "app:1"), p.img, o); err != nil {
		t.Fatal(err)
	}
	same(t, "requests", u2.seen(), []string{
		"POST", "PATCH 0-1999", "PATCH 2000-2999", "GET", "POST", "PATCH 0-1999", "PATCH 2000-2999", "PUT",
	})
	p.there(t, c, f2.ref(t, "app:1"))
}

// TestNoPieces has registries that refuse pieces, in each way that is known.
func TestNoPieces(t *testing.T) {
	for _, status := range []int{400, 404, 405, 411, 415, 416, 501} {
		c, p, f, u := bulk(t, Options{Retries: 3})
		u.refuse = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPatch && r.Method != http.MethodGet {
				return false
			}
			w.WriteHeader(status)
			return true
		}
		o := p.options()
		o.Chunk = 1024
		target := f.ref(t, "app:1")
		_, err := c.Push(t.Context(), target, p.img, o)
		if err != nil {
			t.Errorf("%d: %v", status, err)
			continue
		}
		p.there(t, c, target)
	}
}

// TestUnevenPieces has a registry that wants larger pieces than hull would send.
func TestUnevenPieces(t *testing.T) {
	c, p, f, u := bulk(t, Options{})
	u.refuse = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("OCI-Chunk-Min-Length", "2500")
		return false
	}
	o := p.options()
	o.Chunk = 1000
	if _, err := c.Push(t.Context(), f.ref(t, "app:1"), p.img, o); err != nil {
		t.Fatal(err)
	}
	same(t, "requests", u.seen(), []string{"POST", "PATCH 0-2499", "PATCH 2500-2999", "PUT"})
}

// TestLostAnswer has the answer to a commit get lost: the blob is there, and is
// not sent again.
func TestLostAnswer(t *testing.T) {
	c, p, f, u := bulk(t, Options{})
	lost := false
	f.fail(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/uploads/") && !lost {
			lost = true
			u.serve(w, r)
			panic(http.ErrAbortHandler)
		}
		return u.serve(w, r)
	})
	if _, err := c.Push(t.Context(), f.ref(t, "app:1"), p.img, p.options()); err != nil {
		t.Fatal(err)
	}
	same(t, "requests", u.seen(), []string{"POST", "PUT"})
	if got := p.ends(); !slices.Equal(got, []Stage{Present}) {
		t.Errorf("the layer ends as %v", got)
	}
}

// TestStalledUpload has a registry that reads nothing any more.
func TestStalledUpload(t *testing.T) {
	_, p, f, u := bulk(t, Options{})
	c := client(t, Options{Retries: -1, Stall: 100 * time.Millisecond})
	free := make(chan struct{})
	t.Cleanup(func() { close(free) })
	// More than fits into the buffers on the way.
	big := noise(9, 16<<20)
	p.blobs[p.img.Layers[0].Digest] = big
	img := *p.img
	img.Layers = []Layer{{Digest: digestOf(big), Size: int64(len(big)), MediaType: img.Layers[0].MediaType}}
	p.blobs[digestOf(big)] = big
	img.Manifest = bytes.ReplaceAll(bytes.ReplaceAll(img.Manifest, []byte(p.img.Layers[0].Digest), []byte(digestOf(big))),
		[]byte(`"size":3000`), fmt.Appendf(nil, `"size":%d`, len(big)))
	img.ManifestDigest = digestOf(img.Manifest)
	f.fail(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			<-free
			return true
		}
		return u.serve(w, r)
	})
	_, err := c.Push(t.Context(), f.ref(t, "app:1"), &img, p.options())
	failure(t, err, Timeout)
}

// TestCancelledPush ends a push while it sends, after which nothing of the
// caller's is touched any more.
func TestCancelledPush(t *testing.T) {
	c, p, f, _ := bulk(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := p.options()
	open := o.Open
	var closed sync.WaitGroup
	o.Open = func(l Layer, offset int64) (io.ReadCloser, error) {
		cancel()
		closed.Add(1)
		r, err := open(l, offset)
		return &closing{r, closed.Done}, err
	}
	_, err := c.Push(ctx, f.ref(t, "app:1"), p.img, o)
	failure(t, err, Cancelled)
	closed.Wait()
}

type closing struct {
	io.ReadCloser
	done func()
}

func (c *closing) Close() error {
	defer c.done()
	return c.ReadCloser.Close()
}

// TestUploadElsewhere has a registry that takes blobs at another host: that host
// gets the blob, and no login; but not over plain http, nor inward.
func TestUploadElsewhere(t *testing.T) {
	cred := Credential{User: "alice", Password: "s3cret"}
	p := fetchSample(t, newFake(t), client(t, Options{}), sample{repo: "app", tag: "1", layers: 1})
	target := reference.Reference{Domain: "registry.test", Path: "app", Tag: "1"}
	for base, kind := range map[string]Kind{
		"https://storage.test": 0, "http://storage.test": Protocol, "https://127.0.0.1": Protocol,
		"https://169.254.169.254": Protocol, "http://registry.test": 0, "https://user:pw@storage.test": 0,
	} {
		e, f, storage, a := newElsewhere(t), newFake(t), newFake(t), newAuthority(t)
		f.secure(t, e, a, "registry.test", nil)
		storage.secure(t, e, a, "storage.test", nil)
		dir := t.TempDir()
		write(t, filepath.Join(dir, "registry.test", "ca.crt"), a.pem)
		c := client(t, Options{Proxy: e.proxy(t), Certificates: dir, Retries: 1, Keychain: holding(cred)})
		u := newUploads(t, f)
		u.base = base
		s := newUploads(t, storage)
		s.f = f
		f.fail(both(guard(func() string { return basic(cred) }, "Basic"), u.serve))
		s.held["1"], s.held["2"] = []byte{}, []byte{}
		_, err := c.Push(t.Context(), target, p.img, p.options())
		if kind != 0 {
			failure(t, err, kind)
		} else if err != nil {
			t.Error(base, err)
		}
		for _, r := range storage.asked("") {
			if r.auth != "" {
				t.Errorf("%s: the other host got %q", base, r.auth)
			}
		}
		if len(e.plain) != 0 {
			t.Errorf("%s: asked without TLS: %q", base, e.plain)
		}
	}
}
