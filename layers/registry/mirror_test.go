package registry

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"hull/layers/reference"
)

// mirrored is a registry, a mirror of it with the same image, and a client.
func mirrored(t *testing.T, o Options) (c *Client, f, m *fake, ref reference.Reference, blobs [][]byte) {
	t.Helper()
	f, m = newFake(t), newFake(t)
	_, blobs = f.push(t, sample{repo: "app", tag: "1", layers: 2})
	m.push(t, sample{repo: "app", tag: "1", layers: 2})
	f.fail(nil)
	m.fail(nil)
	if o.Mirrors == nil {
		o.Mirrors = func(string) []string { return []string{m.URL} }
	}
	c = client(t, o)
	c.resting.rest = time.Hour
	return c, f, m, f.ref(t, "app:1"), blobs
}

// pullAll resolves and fetches all, and demands the right bytes.
func pullAll(t *testing.T, c *Client, ref reference.Reference, blobs [][]byte) {
	t.Helper()
	img, err := c.Resolve(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range img.Layers {
		var b bytes.Buffer
		if err := c.Blob(t.Context(), ref, l, &b, 0); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), blobs[i]) {
			t.Errorf("layer %d has other bytes", i)
		}
	}
}

func TestMirror(t *testing.T) {
	var asked []string
	c, f, m, ref, blobs := mirrored(t, Options{})
	c.opt.Mirrors = func(domain string) []string {
		asked = append(asked, domain)
		return []string{m.URL, "https://[bad", f.domain()}
	}
	pullAll(t, c, ref, blobs)
	if n, at := len(f.asked("")), len(m.asked("")); n != 0 || at != 4 {
		t.Errorf("the registry was asked %d times, the mirror %d", n, at)
	}
	if asked[0] != f.domain() {
		t.Errorf("asked for the mirrors of %q", asked[0])
	}
	pullAll(t, c.Direct(), ref, blobs)
	if n := len(f.asked("")); n != 4 {
		t.Errorf("the registry was asked %d times", n)
	}
}

// TestMirrorFails has mirrors that are out of order: each is asked once, and
// costs the registry none of its retries.
func TestMirrorFails(t *testing.T) {
	for name, a := range map[string]struct {
		fault func(http.ResponseWriter, *http.Request) bool
		most  int // requests that the mirror may get
	}{
		"down":      {statusFault("", 503, nil, ""), 1},
		"too many":  {statusFault("", 429, http.Header{"Retry-After": {"3600"}}, ""), 1},
		"not there": {statusFault("", 404, nil, ""), 1},
		"denied":    {statusFault("", 403, nil, ""), 1},
		"breaks":    {func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }, 2},
		"nonsense":  {statusFault("", 200, nil, "<html>"), 1},
		"circle":    {redirect("", "?"), 3},
		"no blobs":  {statusFault("/blobs/", 404, nil, ""), 2},
	} {
		t.Run(name, func(t *testing.T) {
			c, f, m, ref, blobs := mirrored(t, Options{Retries: 1})
			m.fail(a.fault)
			// The registry needs its one retry for itself.
			f.fail(times(1, statusFault("/manifests/", 503, nil, "")))
			pullAll(t, c, ref, blobs)
			if n := len(m.asked("")); n > a.most {
				t.Errorf("the mirror was asked %d times", n)
			}
			if n := len(f.asked("")); n != 5 {
				t.Errorf("the registry was asked %d times", n)
			}
		})
	}
	t.Run("stalls", func(t *testing.T) {
		c, _, m, ref, blobs := mirrored(t, Options{})
		// Only for the mirror: the registry must have all the time it needs.
		c.opt.Stall = 10 * time.Minute
		free := make(chan struct{})
		t.Cleanup(func() { close(free) })
		m.fail(func(http.ResponseWriter, *http.Request) bool {
			<-free
			return true
		})
		hurry := c.opt
		hurry.Stall = 300 * time.Millisecond
		mirror, err := parseMirror(m.URL)
		if err != nil {
			t.Fatal(err)
		}
		quick := *c
		quick.opt = hurry
		_, err = quick.hasty().resolve(t.Context(), ref, mirror)
		failure(t, err, Timeout)
		if !c.passOver(t.Context(), mirror, ref, err) {
			t.Error("it is not passed over")
		}
		pullAll(t, c, ref, blobs)
	})
	t.Run("refuses connections", func(t *testing.T) {
		c, _, m, ref, blobs := mirrored(t, Options{Retries: -1})
		m.Close()
		pullAll(t, c, ref, blobs)
	})
}

// TestMirrorsAreNamed has a registry fail after its mirrors: the sentence tells of all,
// also of those that are not asked again so soon.
func TestMirrorsAreNamed(t *testing.T) {
	c, f, m, ref, blobs := mirrored(t, Options{Retries: -1})
	c.opt.Mirrors = func(string) []string { return []string{"http://127.0.0.1:1", m.URL} }
	m.fail(statusFault("", 503, nil, ""))
	f.fail(statusFault("", 404, nil, ""))
	for range 2 {
		_, err := c.Resolve(t.Context(), ref)
		e := failure(t, err, NotFound)
		for _, host := range []string{f.domain(), "127.0.0.1:1: ", m.domain() + ": "} {
			if !strings.Contains(e.Error(), host) {
				t.Errorf("%q does not name %s", e.Error(), host)
			}
		}
	}
	c.resting.rest = 0
	clear(c.resting.until)
	l := Layer{Digest: digestOf(blobs[0]), Size: int64(len(blobs[0]))}
	e := failure(t, c.Blob(t.Context(), ref, l, io.Discard, 0), NotFound)
	if !strings.Contains(e.Error(), "; its mirrors did not help: 127.0.0.1:1: ") || len(e.Mirrors) != 2 {
		t.Errorf("%q", e.Error())
	}
	c.opt.Mirrors = nil
	_, err := c.Resolve(t.Context(), ref)
	if e := failure(t, err, NotFound); strings.Contains(e.Error(), "mirror") {
		t.Errorf("%q", e.Error())
	}
}

// TestMirrorBreaksOff has a mirror that ends in the middle of a layer: what it
// sent is not fetched again.
func TestMirrorBreaksOff(t *testing.T) {
	c, f, m, ref, blobs := mirrored(t, Options{Retries: -1})
	m.fail(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v2/app/blobs/"+digestOf(blobs[0]) {
			return false
		}
		w.Header().Set("Content-Length", "3000")
		_, _ = w.Write(blobs[0][:1000])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	pullAll(t, c, ref, blobs)
	same(t, "ranges at the registry", spans(f.asked("/blobs/"+digestOf(blobs[0]))), []string{"bytes=1000-2999"})
}

// TestMirrorLogin demands that a mirror gets its own login, not the registry's.
func TestMirrorLogin(t *testing.T) {
	c, f, m, ref, blobs := mirrored(t, Options{})
	logins := map[string]Credential{
		f.domain(): {User: "alice", Password: "registry"},
		m.domain(): {User: "alice", Password: "mirror"},
	}
	c = c.With(keychain(func(_ context.Context, domain string) (Credential, error) { return logins[domain], nil }))
	m.fail(guard(func() string { return basic(logins[m.domain()]) }, "Basic"))
	pullAll(t, c, ref, blobs)
	if n := len(f.asked("")); n != 0 {
		t.Errorf("the registry was asked %d times", n)
	}
	for _, r := range m.asked("") {
		if r.auth == basic(logins[f.domain()]) {
			t.Error("the mirror got the registry's login")
		}
	}
}

// TestMirrorWriteFails must not blame the mirror for the caller's disk.
func TestMirrorWriteFails(t *testing.T) {
	c, f, _, ref, blobs := mirrored(t, Options{})
	l := Layer{Digest: digestOf(blobs[0]), Size: int64(len(blobs[0]))}
	failure(t, c.Blob(t.Context(), ref, l, failingWriter{}, 0), Write)
	if n := len(f.asked("")); n != 0 {
		t.Errorf("the registry was asked %d times", n)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// TestPlainMirror is spoken to in plain http only if that was written.
func TestPlainMirror(t *testing.T) {
	e, m := newElsewhere(t), newFake(t)
	m.push(t, sample{repo: "app", tag: "1", layers: 1})
	c := client(t, Options{Proxy: e.proxy(t), Retries: -1, Mirrors: func(string) []string { return []string{"http://plain.test"} }})
	_, err := c.Resolve(t.Context(), reference.Reference{Domain: "docker.io", Path: "app", Tag: "1"})
	failure(t, err, Unavailable)
	if len(e.plain) != 1 || e.plain[0] != "http://plain.test/v2/app/manifests/1" {
		t.Errorf("in plain http it asked %q", e.plain)
	}
	c = client(t, Options{Proxy: e.proxy(t), Retries: -1, Mirrors: func(string) []string { return []string{"plain.test"} }})
	_, err = c.Resolve(t.Context(), reference.Reference{Domain: "docker.io", Path: "app", Tag: "1"})
	failure(t, err, Unavailable)
	if len(e.plain) != 1 {
		t.Errorf("in plain http it asked %q", e.plain)
	}
}

func TestCheckMirror(t *testing.T) {
	for _, good := range []string{"https://mirror.gcr.io", "https://mirror.gcr.io/", "mirror.gcr.io", "http://10.0.0.1:5000", "localhost:5000", "localhost", "mirror:5000", "http://mirror", "[::1]:5000"} {
		if err := CheckMirror(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "https://", "https://a.test/path", "https://a.test/?q", "https://a.test/#f", "https://user:pw@a.test",
		"ftp://a.test", "hello", "any words", "https://a b", "file:///etc/passwd", "https://a.test:99999", "unix:/run/x", "\x1b[2J", "https://-",
	} {
		if err := CheckMirror(bad); err == nil {
			t.Errorf("%q is taken for a mirror", bad)
		}
	}
}

func TestRestingIsBounded(t *testing.T) {
	r := &resting{rest: time.Hour, until: map[string]rest{}}
	for i := range maxResting + 10 {
		r.send(&mirror{host: "m"}, reference.Reference{Path: string(rune('a'+i%26)) + string(rune(i))}, &Error{Kind: NotFound})
	}
	if len(r.until) > maxResting {
		t.Errorf("%d entries", len(r.until))
	}
}

func TestRestingTellsHowLong(t *testing.T) {
	r := &resting{rest: time.Hour, until: map[string]rest{}}
	m, ref := &mirror{host: "m"}, reference.Reference{Path: "a"}
	r.send(m, ref, &Error{Kind: NotFound})
	why, rests := r.rests(m, ref)
	if told, want := strings.CutPrefix(why, (&Error{Kind: NotFound}).Why()+"; it is asked again in 3"); !rests || !want || !strings.HasSuffix(told, " s") {
		t.Errorf("%t, %q", rests, why)
	}
}
