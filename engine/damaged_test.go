package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A container of which the disk has lost something is listed, with the reason, and can be removed; what lies beside the
// store stays.
func TestDamaged(t *testing.T) {
	w := newWorld(t)
	beside := t.TempDir()
	w.ok(os.WriteFile(filepath.Join(beside, "kept"), nil, 0o600))
	damages := map[string]func(dir string) error{
		"no JSON": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, recordFile), []byte("{\"version\":1,"), 0o600)
		},
		"zeros": func(dir string) error { return os.WriteFile(filepath.Join(dir, recordFile), make([]byte, 4096), 0o600) },
		"a later hull": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, recordFile), []byte(`{"version":99}`), 0o600)
		},
		"a bad setting": func(dir string) error {
			data, err := os.ReadFile(filepath.Join(dir, recordFile))
			return errors.Join(err, os.WriteFile(filepath.Join(dir, recordFile), []byte(strings.Replace(string(data), `"command"`, `"no such setting"`, 1)), 0o600))
		},
		"a directory as record": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, recordFile)), os.MkdirAll(filepath.Join(dir, recordFile, "in it"), 0o700))
		},
		"a file as directory": func(dir string) error { return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, []byte("x"), 0o600)) },
		"a link as directory": func(dir string) error { return errors.Join(os.RemoveAll(dir), os.Symlink(beside, dir)) },
	}
	ids := map[string]string{}
	for what := range damages {
		ids[what] = w.create("", "exit 0", false).ID
	}
	good := w.create("good", "sleep", true)
	w.ok(w.e.Close())
	for what, damage := range damages {
		if err := damage(filepath.Join(w.dir, "containers", ids[what])); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	w.open()
	if c := w.find("good"); c.ID != good.ID || c.State != Up {
		t.Errorf("%+v", c)
	}
	for what, id := range ids {
		if what == "a link as directory" { // there is no record: it counts as a creation that was not finished
			if w.state(id) != "gone" {
				t.Errorf("%s: it is %s", what, w.state(id))
			}
			continue
		}
		c := w.find(id)
		if c.State != Dead || !strings.Contains(c.Error, "its record") || !strings.HasPrefix(c.Name, "dead_") {
			t.Errorf("%s: it is %s, %s: %s", what, c.Name, c.State, c.Error)
		}
		w.want(w.e.Start(t.Context(), id), Invalid)
		w.ok(w.e.Remove(t.Context(), id, true))
		if w.state(id) != "gone" {
			t.Errorf("%s: it is there after its removal", what)
		}
	}
	w.until("nothing is left of them", func() bool {
		entries, err := os.ReadDir(filepath.Join(w.dir, "containers"))
		return err == nil && len(entries) == 1
	})
	if _, err := os.Stat(filepath.Join(beside, "kept")); err != nil {
		t.Error("what the link led to: ", err)
	}
}
