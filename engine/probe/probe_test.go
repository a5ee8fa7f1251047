package probe

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hull/tests/need"
)

func TestProbe(t *testing.T) {
	need.Root(t, "it makes namespaces")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	for _, f := range Probe(ctx, dir) {
		t.Logf("%s (%s): %v", f.Name, f.Kernel, f.Err)
		if f.Needed && f.Err != nil {
			t.Errorf("%s: %v", f.Name, f.Err)
		}
		if f.Name == "" || f.Kernel == "" && f.Name != firewallFeature {
			t.Errorf("%+v", f)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("a process is left: %v", err)
	}
	for _, f := range Probe(ctx, "/nowhere") {
		if f.Name == "overlays in /nowhere" && f.Err == nil {
			t.Error("there are overlays in a directory that is not there")
		}
	}
}

// What a killed process left goes with the next probe; what is somebody else's, or no trial's, stays.
func TestSweep(t *testing.T) {
	parent := t.TempDir()
	for _, d := range []string{"dead/work/work", "dead/upper", "dead/lower", "dead/root", "full/upper", "live", "empty"} {
		if err := os.MkdirAll(filepath.Join(parent, prefix+d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, err := range map[string]error{
		"full/upper/file": os.WriteFile(filepath.Join(parent, prefix+"full/upper/file"), []byte("kept"), 0o600),
		"link":            os.Symlink(t.TempDir(), filepath.Join(parent, prefix+"link")),
		"other":           os.Mkdir(filepath.Join(parent, "other"), 0o700),
	} {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	want := []string{prefix + "full", prefix + "link", prefix + "live", "other"}
	if os.Geteuid() == 0 {
		if err := os.Mkdir(filepath.Join(parent, prefix+"theirs"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(parent, prefix+"theirs"), 4242, 4242); err != nil {
			t.Fatal(err)
		}
		want = slices.Insert(want, 3, prefix+"theirs")
	}
	live, err := locked(filepath.Join(parent, prefix+"live"), unix.LOCK_NB)
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	sweep(parent)
	if got := names(t, parent); !slices.Equal(got, want) {
		t.Errorf("left are %q, want %q", got, want)
	}
	if got, err := os.ReadFile(filepath.Join(parent, prefix+"full/upper/file")); string(got) != "kept" {
		t.Errorf("%q, %v", got, err)
	}
}

// Many who try things at once in the same place do not take one another's directories away.
func TestWorkplacesAtOnce(t *testing.T) {
	parent := t.TempDir()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				sweep(parent)
				dir, done, err := workplace(parent)
				if err != nil {
					t.Error(err)
					return
				}
				if err := os.Mkdir(filepath.Join(dir, "upper"), 0o700); err != nil {
					t.Error(err)
				}
				done()
			}
		})
	}
	all.Wait()
	if got := names(t, parent); len(got) != 0 {
		t.Errorf("left are %q", got)
	}
}

func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
