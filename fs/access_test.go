package fs

import (
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func openedAccess(t *testing.T, path string) *access {
	t.Helper()
	a, err := openAccess(path, slog.New(slog.DiscardHandler), func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.end)
	return a
}

func setMode(a *access, k accessKey, mode uint32) error {
	return a.set(k, func(p *permissions) { p.Mode = &mode })
}

func modeOf(a *access, k accessKey) uint32 {
	if m := a.get(k).Mode; m != nil {
		return *m
	}
	return 0
}

// TestAccessIsKept has many changes at once, of which the file holds each at any time, and an object that becomes another.
func TestAccessIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access")
	a := openedAccess(t, path)
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			k := accessKey{"i/a/1", string(rune('A' + i))}
			if err := setMode(a, k, uint32(i)); err != nil {
				t.Error(err)
			}
			if got := modeOf(openedAccess(t, path), k); got != uint32(i) {
				t.Errorf("another who opens the file finds %o of %v, want %o", got, k, i)
			}
		})
	}
	all.Wait()
	if err := a.renamed("i/a/1", "i/b/2"); err != nil {
		t.Fatal(err)
	}
	for _, x := range []*access{a, openedAccess(t, path)} {
		for i := range 100 {
			name := string(rune('A' + i))
			if old, got := modeOf(x, accessKey{"i/a/1", name}), modeOf(x, accessKey{"i/b/2", name}); old != 0 || got != uint32(i) {
				t.Errorf("%q has %o by the old name and %o by the new, want %o", name, old, got, i)
			}
		}
	}
}

// TestAccessThatCannotBeKept has a disk that fails: what was refused is not in force, and what comes after that is kept
// whole.
func TestAccessThatCannotBeKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access")
	a := openedAccess(t, path)
	one, two := accessKey{"i/a/1", "one"}, accessKey{"i/a/1", "two"}
	if err := setMode(a, one, 0o600); err != nil {
		t.Fatal(err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.file.Close(); err != nil {
		t.Fatal(err)
	}
	a.file = full
	if err := setMode(a, two, 0o640); err == nil {
		t.Error("a full disk was no failure")
	}
	if got := modeOf(a, two); got != 0 {
		t.Errorf("what was refused is %o nevertheless", got)
	}
	if err := setMode(a, two, 0o644); err != nil {
		t.Fatal(err)
	}
	again := openedAccess(t, path)
	if modeOf(again, one) != 0o600 || modeOf(again, two) != 0o644 {
		t.Errorf("the file says %o and %o", modeOf(again, one), modeOf(again, two))
	}
}
