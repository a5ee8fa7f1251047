package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"hull/layers/reference"
)

// pulled is an image as it was fetched, with what a push needs of it.
type pulled struct {
	img   *Image
	blobs map[string][]byte

	mu     sync.Mutex
	events []Transfer
	opened []string
}

// fetchSample pushes a sample past the door, and pulls it.
func fetchSample(t *testing.T, f *fake, c *Client, s sample) *pulled {
	t.Helper()
	_, blobs := f.push(t, s)
	img, err := c.Resolve(t.Context(), f.ref(t, s.repo+":"+s.tag))
	if err != nil {
		t.Fatal(err)
	}
	p := &pulled{img: img, blobs: map[string][]byte{}}
	for _, b := range blobs {
		p.blobs[digestOf(b)] = b
	}
	return p
}

func (p *pulled) options() PushOptions {
	return PushOptions{
		Open: func(l Layer, offset int64) (io.ReadCloser, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.opened = append(p.opened, fmt.Sprintf("%s@%d", l.Digest, offset))
			return io.NopCloser(bytes.NewReader(p.blobs[l.Digest][offset:])), nil
		},
		Progress: func(tr Transfer) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.events = append(p.events, tr)
		},
	}
}

// ends returns the last stage of each layer, in the image's order.
func (p *pulled) ends() []Stage {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []Stage
	for _, l := range p.img.Layers {
		last := Stage(0)
		for _, e := range p.events {
			if e.Layer.Digest == l.Digest {
				last = e.Stage
			}
		}
		all = append(all, last)
	}
	return all
}

// there demands that a registry has the image under a reference, byte for byte.
func (p *pulled) there(t *testing.T, c *Client, ref reference.Reference) {
	t.Helper()
	got, err := c.Resolve(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest != p.img.ManifestDigest || !bytes.Equal(got.Manifest, p.img.Manifest) || got.ConfigDigest != p.img.ConfigDigest {
		t.Errorf("what was pushed is %s, what was pulled is %s", got.Digest, p.img.ManifestDigest)
	}
	for _, l := range got.Layers {
		var b bytes.Buffer
		if err := c.Blob(t.Context(), ref, l, &b, 0); err != nil {
			t.Fatal(err)
		}
		if digestOf(b.Bytes()) != l.Digest {
			t.Errorf("the layer %s has become %s", l.Digest, digestOf(b.Bytes()))
		}
	}
}

func TestPush(t *testing.T) {
	from, to := newFake(t), newFake(t)
	c := client(t, Options{})
	p := fetchSample(t, from, c, sample{repo: "app", tag: "1", layers: 3})
	target := to.ref(t, "team/app:2")
	digest, err := c.Push(t.Context(), target, p.img, p.options())
	if err != nil {
		t.Fatal(err)
	}
	if digest != p.img.ManifestDigest {
		t.Errorf("it returns %s", digest)
	}
	p.there(t, c, target)
	if got := p.ends(); !slices.Equal(got, []Stage{Pushed, Pushed, Pushed}) {
		t.Errorf("the layers end as %v", got)
	}
	for _, l := range p.img.Layers {
		if !slices.ContainsFunc(p.events, func(e Transfer) bool {
			return e.Layer.Digest == l.Digest && e.Stage == Pushing && e.Done == l.Size
		}) {
			t.Errorf("nobody was told of the %d bytes of %s", l.Size, l.Digest)
		}
	}
	// The manifest is the last that arrives.
	all := to.asked("")
	order := []string{}
	for _, r := range all {
		if r.method == http.MethodPut {
			order = append(order, r.path)
		}
	}
	if last := order[len(order)-1]; last != "/v2/team/app/manifests/2" {
		t.Errorf("the last that was put is %s", last)
	}
	// Again: nothing is sent, or even read.
	to.fail(nil)
	p.events, p.opened = nil, nil
	if _, err := c.Push(t.Context(), to.ref(t, "team/app:3"), p.img, p.options()); err != nil {
		t.Fatal(err)
	}
	if got := p.ends(); !slices.Equal(got, []Stage{Present, Present, Present}) {
		t.Errorf("the layers end as %v", got)
	}
	if n := len(to.asked("/uploads/")); n != 0 || len(p.opened) != 0 {
		t.Errorf("%d uploads; opened %q", n, p.opened)
	}
}

// TestPushRepeats has everything that is not a layer fail once.
func TestPushRepeats(t *testing.T) {
	c := client(t, Options{})
	p := fetchSample(t, newFake(t), c, sample{repo: "app", tag: "1", layers: 1})
	for _, method := range []string{http.MethodHead, http.MethodPost, http.MethodPut} {
		for _, status := range []int{http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusGatewayTimeout} {
			f := newFake(t)
			target := f.ref(t, "app:1")
			once := map[string]bool{}
			var mu sync.Mutex
			f.fail(func(w http.ResponseWriter, r *http.Request) bool {
				mu.Lock()
				defer mu.Unlock()
				part := r.URL.Path[:strings.LastIndexByte(r.URL.Path, '/')]
				if r.Method != method || once[part] {
					return false
				}
				once[part] = true
				w.WriteHeader(status)
				return true
			})
			if _, err := c.Push(t.Context(), target, p.img, p.options()); err != nil {
				t.Fatal(method, status, err)
			}
			f.fail(nil)
			p.there(t, c, target)
		}
	}
}

func TestPushRefused(t *testing.T) {
	c := client(t, Options{Retries: 2})
	p := fetchSample(t, newFake(t), c, sample{repo: "app", tag: "1", layers: 2})
	denied := `{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}`
	onlyTo := func(method string, fault func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool { return r.Method == method && fault(w, r) }
	}
	for name, a := range map[string]struct {
		fault func(http.ResponseWriter, *http.Request) bool
		kind  Kind
	}{
		"denied":       {statusFault("", 403, nil, denied), Denied},
		"no writing":   {onlyTo(http.MethodPost, statusFault("/uploads/", 403, nil, denied)), Denied},
		"no such name": {onlyTo(http.MethodPost, statusFault("/uploads/", 404, nil, `{"errors":[{"code":"NAME_UNKNOWN"}]}`)), NotFound},
		"down":         {statusFault("", 503, nil, ``), Unavailable},
		"too many":     {statusFault("", 429, http.Header{"Retry-After": {"3600"}}, ``), Rate},
		"nowhere":      {onlyTo(http.MethodPost, statusFault("/uploads/", 202, nil, ``)), Protocol},
		"inward":       {onlyTo(http.MethodPost, statusFault("/uploads/", 202, http.Header{"Location": {"ftp://127.0.0.1/"}}, ``)), Protocol},
		"unencrypted":  {onlyTo(http.MethodPost, statusFault("/uploads/", 202, http.Header{"Location": {"http://storage.test/"}}, ``)), Protocol},
		"redirected":   {onlyTo(http.MethodPut, redirect("/uploads/", "/elsewhere")), Protocol},
		"bad digest":   {onlyTo(http.MethodPut, statusFault("/uploads/", 400, nil, `{"errors":[{"code":"DIGEST_INVALID"}]}`)), Corrupt},
		"other digest": {onlyTo(http.MethodPut, statusFault("/uploads/", 201, http.Header{"Docker-Content-Digest": {digestOf(nil)}}, ``)), Corrupt},
		"other manifest": {
			onlyTo(http.MethodPut, statusFault("/manifests/", 201, http.Header{"Docker-Content-Digest": {"nonsense"}}, ``)), Corrupt,
		},
		"bad manifest":   {onlyTo(http.MethodPut, statusFault("/manifests/", 400, nil, `{"errors":[{"code":"MANIFEST_INVALID"}]}`)), Protocol},
		"endless upload": {onlyTo(http.MethodPut, statusFault("/uploads/", 404, nil, `{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}`)), NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.fail(a.fault)
			_, err := c.Push(t.Context(), f.ref(t, "other:1"), p.img, p.options())
			e := failure(t, err, a.kind)
			if e.Op != opPush || !strings.HasPrefix(e.Error(), "cannot push ") {
				t.Errorf("it says %q", e.Error())
			}
			if a.kind == Denied && !strings.Contains(e.Message, "requested access") {
				t.Errorf("the registry's words are lost: %q", e.Message)
			}
			if n := len(f.asked("")); n > 40 {
				t.Errorf("it asked %d times", n)
			}
		})
	}
}

// TestPushUnreadable has this side's disk fail.
func TestPushUnreadable(t *testing.T) {
	f := newFake(t)
	c := client(t, Options{})
	p := fetchSample(t, newFake(t), c, sample{repo: "app", tag: "1", layers: 1})
	broken := errors.New("input/output error")
	for name, open := range map[string]func(l Layer, offset int64) (io.ReadCloser, error){
		"gone": func(Layer, int64) (io.ReadCloser, error) { return nil, broken },
		"broken": func(Layer, int64) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader("x"), errorReader{broken})), nil
		},
		"short": func(Layer, int64) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil },
	} {
		t.Run(name, func(t *testing.T) {
			o := p.options()
			o.Open = open
			_, err := c.Push(t.Context(), f.ref(t, "other:1"), p.img, o)
			e := failure(t, err, Read)
			if name != "short" && !errors.Is(e, broken) {
				t.Errorf("the cause is lost: %v", e.Err)
			}
		})
	}
	// Nor is a record pushed that does not fit together.
	for _, spoil := range []func(*Image){
		func(i *Image) { i.Manifest = append(bytes.Clone(i.Manifest), ' ') },
		func(i *Image) { i.Config = []byte("{}") },
		func(i *Image) { i.Layers = nil },
		func(i *Image) { i.Layers = []Layer{{Digest: digestOf(nil)}} },
	} {
		img := *p.img
		spoil(&img)
		_, err := c.Push(t.Context(), f.ref(t, "other:1"), &img, p.options())
		failure(t, err, Corrupt)
	}
	byDigest := f.ref(t, "other@"+digestOf(nil))
	_, err := c.Push(t.Context(), byDigest, p.img, p.options())
	failure(t, err, Protocol)
	byDigest.Digest = p.img.ManifestDigest
	if _, err := c.Push(t.Context(), byDigest, p.img, p.options()); err != nil {
		t.Error(err)
	}
	p.there(t, c, byDigest)
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }
