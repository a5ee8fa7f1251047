package registry

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// list makes a registry answer a path with pages.
func list(path string, pages ...string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != path {
			return false
		}
		n := 0
		_, _ = fmt.Sscan(r.URL.Query().Get("page"), &n)
		if n+1 < len(pages) {
			w.Header().Set("Link", fmt.Sprintf(`<%s?page=%d&n=1000>; rel="next"`, path, n+1))
		}
		_, _ = fmt.Fprint(w, pages[n])
		return true
	}
}

func TestTags(t *testing.T) {
	f := newFake(t)
	c := client(t, Options{})
	for _, tag := range []string{"1", "2", "latest"} {
		f.push(t, sample{repo: "team/app", tag: tag})
	}
	got, err := c.Tags(t.Context(), f.ref(t, "team/app"))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "tags", got, []string{"1", "2", "latest"})
	_, err = c.Tags(t.Context(), f.ref(t, "nosuch"))
	if e := failure(t, err, NotFound); !strings.HasPrefix(e.Error(), "cannot list the tags of "+f.domain()+"/nosuch at ") {
		t.Errorf("it says %q", e.Error())
	}
	f.fail(both(
		times(1, statusFault("", 503, nil, "")),
		list("/v2/app/tags/list", `{"tags":["a","b"]}`, `{"tags":["b","c","-bad","\u001b[2J",""]}`, `{"tags":null}`, `{"tags":["d"]}`),
	))
	got, err = c.Tags(t.Context(), f.ref(t, "app"))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "tags", got, []string{"a", "b", "c", "d"})
}

func TestTagsHostile(t *testing.T) {
	f, other := newFake(t), newFake(t)
	c := client(t, Options{Retries: -1, Keychain: holding(Credential{User: "alice", Password: "s3cret"})})
	link := func(value string) func(http.ResponseWriter, *http.Request) bool {
		return statusFault("", 200, http.Header{"Link": {value}}, `{"tags":["a"]}`)
	}
	n := 0
	for name, a := range map[string]struct {
		fault func(http.ResponseWriter, *http.Request) bool
		kind  Kind
	}{
		"another host":   {link(`<` + other.URL + `/v2/app/tags/list?page=2>; rel="next"`), Protocol},
		"another scheme": {link(`<file:///etc/passwd>; rel=next`), Protocol},
		"no address":     {link(`<http://[>; rel=next`), Protocol},
		"itself":         {link(`<?n=1000>; rel="next"`), Protocol},
		"circle":         {link(`<?page=1>; rel="next"`), Protocol},
		"ever more": {func(w http.ResponseWriter, _ *http.Request) bool {
			n++
			w.Header().Set("Link", fmt.Sprintf(`<?page=%d>; rel="next"`, n))
			_, _ = fmt.Fprint(w, `{"tags":["a"]}`)
			return true
		}, TooLarge},
		"too many":  {statusFault("", 200, nil, `{"tags":[`+strings.Repeat(`"a",`, maxTags)+`"b"]}`), TooLarge},
		"huge":      {statusFault("", 200, nil, `{"tags":["`+strings.Repeat("a", maxDocument)+`"]}`), TooLarge},
		"not JSON":  {statusFault("", 200, nil, `<html>`), Protocol},
		"no list":   {statusFault("", 200, nil, `{"tags":{"a":1}}`), Protocol},
		"forbidden": {statusFault("", 403, nil, ``), Denied},
	} {
		t.Run(name, func(t *testing.T) {
			f.fail(a.fault)
			_, err := c.Tags(t.Context(), f.ref(t, "app"))
			failure(t, err, a.kind)
		})
	}
	if n := len(other.asked("")); n != 0 {
		t.Errorf("another host was asked %d times", n)
	}
	// What is no next page is none.
	for _, value := range []string{``, `<?page=2>; rel="prev"`, `?page=2; rel=next`, `<?page=2>`, `<?page=2`, `<?a>; rel=prev, <?b>; rel=prev`} {
		f.fail(link(value))
		got, err := c.Tags(t.Context(), f.ref(t, "app"))
		if err != nil || len(got) != 1 {
			t.Errorf("%q: %v, %v", value, got, err)
		}
	}
	// A proxy before the registry may have another name for its scheme.
	f.fail(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("page") == "" {
			w.Header().Set("Link", `<https://`+f.domain()+`/v2/app/tags/list?page=1>; title="x"; rel="last next"`)
		}
		_, _ = fmt.Fprintf(w, `{"tags":["p%s"]}`, r.URL.Query().Get("page"))
		return true
	})
	got, err := c.Tags(t.Context(), f.ref(t, "app"))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "tags", got, []string{"p", "p1"})
}
