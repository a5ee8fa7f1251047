package registry

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
)

// TestMount has registries that take blobs over between repositories, or not, for
// logins that may read some of the others.
func TestMount(t *testing.T) {
	s := newTokenServer(t)
	s.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if slices.Contains(r.Form["scope"], "repository:private:pull") {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		_, _ = fmt.Fprint(w, `{"token":"all"}`)
		return true
	}
	c := client(t, Options{Keychain: holding(Credential{User: "alice", Password: "s3cret"})})
	p := fetchSample(t, newFake(t), c, sample{repo: "base", tag: "1", layers: 2})
	for name, takes := range map[string]bool{"takes": true, "will not": false} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			var mu sync.Mutex
			var froms []string
			f.fail(both(
				guard(func() string { return "Bearer all" }, s.challenge()),
				func(w http.ResponseWriter, r *http.Request) bool {
					digest, from := r.URL.Query().Get("mount"), r.URL.Query().Get("from")
					if digest == "" {
						return false
					}
					mu.Lock()
					froms = append(froms, from)
					mu.Unlock()
					if !takes || from != "team/base" {
						return false // an upload begins instead
					}
					f.blob(t, "team/app", p.blobs[digest])
					w.WriteHeader(http.StatusCreated)
					return true
				},
			))
			p.events, p.opened = nil, nil
			o := p.options()
			o.From = func(Layer) []string { return []string{"team/app", "private", "elsewhere", "team/base"} }
			target := f.ref(t, "team/app:1")
			if _, err := c.Push(t.Context(), target, p.img, o); err != nil {
				t.Fatal(err)
			}
			want := Pushed
			if takes {
				want = Mounted
			}
			if got := p.ends(); !slices.Equal(got, []Stage{want, want}) {
				t.Errorf("the layers end as %v", got)
			}
			if takes != (len(p.opened) == 0) {
				t.Errorf("opened %q", p.opened)
			}
			slices.Sort(froms)
			same(t, "mounts", froms, []string{"elsewhere", "elsewhere", "team/base", "team/base"})
			p.there(t, c, target)
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, scopes := range [][]string{
				{"repository:team/app:pull,push"},
				{"repository:team/app:pull,push", "repository:team/base:pull"},
			} {
				if !slices.ContainsFunc(s.asked, func(q url.Values) bool { return slices.Equal(q["scope"], scopes) }) {
					t.Errorf("no token was asked for %q", scopes)
				}
			}
		})
	}
}
