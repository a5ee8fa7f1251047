package registry

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

func TestSearch(t *testing.T) {
	f := newFake(t)
	c := client(t, Options{})
	var query string
	f.fail(func(w http.ResponseWriter, r *http.Request) bool {
		query = r.URL.Path + "?" + r.URL.RawQuery
		_, _ = fmt.Fprint(w, `{"num_results":3,"results":[
			{"name":"redis","description":"Redis is\nan \u001b[2Jopen source","star_count":12000,"is_official":true,"is_automated":false},
			{"name":"","star_count":1},
			{"name":"acme/redis","star_count":-5},
			{"name":"acme/redis2"}]}`)
		return true
	})
	got, err := c.Search(t.Context(), f.domain(), "re dis&n=9", 2)
	if err != nil {
		t.Fatal(err)
	}
	if query != "/v1/search?n=2&q=re+dis%26n%3D9" {
		t.Errorf("it asked %s", query)
	}
	want := []Result{{"redis", "Redis is an ?[2Jopen source", 12000, true}, {Name: "acme/redis"}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	// Another address, as configured.
	c.opt.Search = func(domain string) string { return f.URL + "/find?kind=image" }
	if _, err := c.Search(t.Context(), "registry.test", "x", 0); err != nil {
		t.Fatal(err)
	}
	if query != "/find?kind=image&n=25&q=x" {
		t.Errorf("it asked %s", query)
	}
	for _, bad := range []string{"find", "ftp://a.test/", "https://user@a.test/", "https://[", "http://a.test/"} {
		c.opt.Search = func(string) string { return bad }
		if _, err := c.Search(t.Context(), "registry.test", "x", 0); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestSearchFails(t *testing.T) {
	f := newFake(t)
	c := client(t, Options{Retries: -1, Search: func(string) string { return f.URL }})
	for name, a := range map[string]struct {
		fault func(http.ResponseWriter, *http.Request) bool
		kind  Kind
	}{
		"not JSON":    {statusFault("", 200, nil, `<html>`), Protocol},
		"other JSON":  {statusFault("", 200, nil, `{"results":{}}`), Protocol},
		"other types": {statusFault("", 200, nil, `{"results":[{"name":5}]}`), Protocol},
		"not there":   {statusFault("", 404, nil, ``), NotFound},
		"down":        {statusFault("", 503, nil, ``), Unavailable},
		"denied":      {statusFault("", 403, nil, ``), Denied},
		"huge":        {statusFault("", 200, nil, strings.Repeat(" ", maxDocument+1)), TooLarge},
	} {
		f.fail(a.fault)
		_, err := c.Search(t.Context(), "registry.test", "a\x1b\n", 0)
		e := failure(t, err, a.kind)
		if !strings.HasPrefix(e.Error(), "cannot search "+f.domain()+` for "a"`) && !strings.HasPrefix(e.Error(), "cannot search "+f.domain()+` for "a?"`) {
			t.Errorf("%s: it says %q", name, e.Error())
		}
	}
	f.fail(statusFault("", 200, nil, `{"results":[`+strings.Repeat(`{"name":"a"},`, 100_000)+`{"name":"b"}]}`))
	got, err := c.Search(t.Context(), "registry.test", "a", 1000)
	if err != nil || len(got) != maxSearchLimit {
		t.Errorf("%d results, %v", len(got), err)
	}
	f.fail(statusFault("", 200, nil, `{"results":null}`))
	if got, err := c.Search(t.Context(), "registry.test", "a", 0); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

// TestSearchCatalog has registries that cannot be searched, as most cannot.
func TestSearchCatalog(t *testing.T) {
	f := newFake(t)
	c := client(t, Options{Retries: -1})
	for _, instead := range []func(http.ResponseWriter, *http.Request) bool{
		statusFault("/v1/", 404, nil, ``), statusFault("/v1/", 200, nil, `<html>`),
	} {
		f.fail(both(instead, list("/v2/_catalog", `{"repositories":["app","team/app"]}`, `{"repositories":["other","apple"]}`)))
		got, err := c.Search(t.Context(), f.domain(), "App", 0)
		if err != nil || fmt.Sprint(got) != fmt.Sprint([]Result{{Name: "app"}, {Name: "team/app"}, {Name: "apple"}}) {
			t.Errorf("got %v, %v", got, err)
		}
		got, err = c.Search(t.Context(), f.domain(), "app", 1)
		if err != nil || len(got) != 1 {
			t.Errorf("got %v, %v", got, err)
		}
		got, err = c.Search(t.Context(), f.domain(), "nosuch", 1)
		if err != nil || len(got) != 0 {
			t.Errorf("got %v, %v", got, err)
		}
	}
	f.fail(both(statusFault("/v1/", 404, nil, ``), statusFault("/v2/_catalog", 404, nil, ``)))
	_, err := c.Search(t.Context(), f.domain(), "app", 0)
	if e := failure(t, err, NotFound); e.Reason != "it cannot be searched" {
		t.Errorf("it says %q", e.Error())
	}
}

// TestSearchHub asks where Docker asks.
func TestSearchHub(t *testing.T) {
	e, f, a := newElsewhere(t), newFake(t), newAuthority(t)
	f.secure(t, e, a, "index.docker.io", nil)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "docker.io", "ca.crt"), a.pem)
	c := client(t, Options{Proxy: e.proxy(t), Certificates: dir, Retries: -1})
	var query string
	f.fail(func(w http.ResponseWriter, r *http.Request) bool {
		query = r.Host + r.URL.Path + "?" + r.URL.RawQuery
		_, _ = fmt.Fprint(w, `{"results":[]}`)
		return true
	})
	if _, err := c.Search(t.Context(), "docker.io", "library/redis", 0); err != nil {
		t.Fatal(err)
	}
	if query != "index.docker.io/v1/search?n=25&q=redis" {
		t.Errorf("it asked %s", query)
	}
	f.fail(statusFault("", 404, nil, ""))
	_, err := c.Search(t.Context(), "docker.io", "redis", 0)
	if e := failure(t, err, NotFound); e.Host != "docker.io" {
		t.Errorf("it says %q", e.Error())
	}
}
