package registry

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"hull/layers/reference"
)

// FuzzNext reads Link headers: whatever they say, a list goes on at its own host.
func FuzzNext(f *testing.F) {
	for _, s := range []string{
		`</v2/app/tags/list?last=x&n=5>; rel="next"`, `<?a>; rel=prev, <?b>; rel=next`, `<//evil.test/>; rel=next`,
		`<https://registry.test:443/>; rel=next`, `<https://user@registry.test/x>;rel=next`, `<http://[::1]/>;rel=next`,
		`<javascript:x>;rel=next`, `<\\evil.test>; rel=next`, `<%2e%2e/x>; REL="NEXT"`, `<<>>; rel=next`, `<`, `>`, `<>;rel=next`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := pull(opTags, reference.Reference{Domain: "registry.test", Path: "app"}, "tags/list")
		u, err := r.next(http.Header{"Link": {s}})
		if err != nil || u == nil {
			return
		}
		if u.Host != "registry.test" || !strings.HasPrefix(u.Path, "/") {
			t.Errorf("%q leads to %s", s, u)
		}
	})
}

// FuzzLocation reads where uploads go on: in https from https, not inward, and
// with no login in the address.
func FuzzLocation(f *testing.F) {
	for _, s := range []string{
		"/v2/app/blobs/uploads/1?state=x", "https://storage.test/x?sig=%2F", "http://registry.test/x", "http://storage.test/",
		"https://127.0.0.1/", "https://localhost./", "https://u:p@storage.test/", "//storage.test", "", "?", "https:///", "https:opaque",
		"https://169.254.169.254/", "https://[::ffff:127.0.0.1]:1/", "ftp://registry.test/",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p := &push{c: New(Options{}), target: reference.Reference{Domain: "registry.test", Path: "app", Tag: "1"}}
		k := p.cargo(Layer{})
		r := k.request(http.MethodPost, "blobs/uploads/")
		resp := &http.Response{
			Header:  http.Header{"Location": {s}},
			Request: &http.Request{URL: &url.URL{Scheme: "https", Host: "registry.test", Path: r.path}},
		}
		if k.move(r, resp) != nil {
			return
		}
		u := k.location
		if u.Scheme != "https" || u.Host == "" || u.User != nil || inward(u.Host) != "" {
			t.Errorf("%q leads to %s", s, u)
		}
	})
}

func TestUploaded(t *testing.T) {
	for s, want := range map[string]int64{"0-0": 0, "0-1": 2, "0-99": 100, "bytes=0-9": 10} {
		if got, ok := uploaded(&http.Response{Header: http.Header{"Range": {s}}}); !ok || got != want {
			t.Errorf("%q: %d, %v", s, got, ok)
		}
	}
	for _, s := range []string{"", "5-9", "0", "-", "0-", "-5", "0--5", "a-b", "0-99999999999999999999"} {
		if got, ok := uploaded(&http.Response{Header: http.Header{"Range": {s}}}); ok {
			t.Errorf("%q: %d", s, got)
		}
	}
	if got, ok := uploaded(&http.Response{Header: http.Header{}}); ok {
		t.Errorf("none: %d", got)
	}
}
