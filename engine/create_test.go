package engine

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCreateRefuses(t *testing.T) {
	w := newWorld(t)
	for _, r := range []struct {
		n    New
		kind Kind
	}{
		{New{Name: "a/b"}, Invalid},
		{New{Name: "web", Image: "BAD"}, Invalid},
		{New{Name: "web", Image: "nosuch", Start: true}, NotFound},
		{New{Name: "web", Start: true}, Invalid},
		{New{Name: "web", Settings: map[string]string{"tty": "maybe"}}, Invalid},
		{New{Name: "web", Settings: map[string]string{"nosuch": "1"}}, NotFound},
	} {
		_, err := w.e.Create(t.Context(), r.n)
		w.want(err, r.kind)
	}
	if names, err := os.ReadDir(filepath.Join(w.dir, "containers")); err != nil || len(names) != 0 {
		t.Errorf("%v, %v are left", names, err)
	}
	w.create("web", "sleep", false) // the name is free still
}
