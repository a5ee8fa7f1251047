package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRanges(t *testing.T) {
	r := newRanges(4000)
	seen := map[uint32]bool{}
	for range rangeCount {
		first, ok := r.take(0)
		if !ok || seen[first] || !validRange(first) || uint64(first)+rangeSize-1 > rangeLast {
			t.Fatalf("%d, %v after %d", first, ok, len(seen))
		}
		seen[first] = true
	}
	if first, ok := r.take(0); ok {
		t.Fatalf("%d was free", first)
	}
	const some = rangeFirst + 7*rangeSize
	r.free(some)
	if first, ok := r.take(some); !ok || first != some {
		t.Errorf("%d, %v: the old range was free", first, ok)
	}
	r.free(some)
	if first, ok := r.take(some + 1); !ok || first != some {
		t.Errorf("%d, %v: a wanted one that is none counts as any", first, ok)
	}
}

func TestLease(t *testing.T) {
	r := newRanges(0)
	l, ok := r.lease(0)
	if !ok || !l.hold() {
		t.Fatal("no lease")
	}
	l.drop()
	if first, _ := r.take(l.first); first == l.first {
		t.Error("a range in use was given out")
	}
	l.drop()
	if l.hold() {
		t.Error("a lease that has ended was held")
	}
	if first, _ := r.take(l.first); first != l.first {
		t.Error("the range did not come back")
	}
	var none *lease
	if none.hold() {
		t.Error("no lease was held")
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"web": true, "Web-1.x_y": true, "9": true, "a": true, "": false, ".web": false, "-x": false, "_x": false,
		"a/b": false, "a b": false, "wéb": false, "..": false, strings.Repeat("a", 200): true,
		strings.Repeat("a", 201): false, "deadbeefcafe": false, testID: false, "deadbeefcaf": true, "DEADBEEFCAFE": true,
	} {
		if err := checkName("create", name); (err == nil) != want {
			t.Errorf("%.20q: %v", name, err)
		}
	}
	taken := 0
	name := makeName(func(string) bool { taken++; return taken < 20 })
	if err := checkName("create", name); err != nil || !strings.Contains(name, "_") {
		t.Errorf("%q: %v", name, err)
	}
	if id := newID(); !isHex(id, 64) {
		t.Errorf("%q is no ID", id)
	}
}

func TestMailbox(t *testing.T) {
	m := newMailbox[int]()
	for i := range 3 {
		if !m.put(i) {
			t.Fatal("refused")
		}
	}
	for i := range 3 {
		<-m.ready
		if got, ok := m.take(); !ok || got != i {
			t.Fatalf("%d, %v", got, ok)
		}
	}
	if _, ok := m.take(); ok {
		t.Error("something was left")
	}
	m.close()
	if m.put(1) {
		t.Error("a closed mailbox took something")
	}
}

func TestCrashPoints(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range CrashPoints() {
		if seen[p] || p == "" {
			t.Errorf("%q is there twice", p)
		}
		seen[p] = true
	}
}

// A container may leave a tree deeper than any path, with names that are anything; the deletion needs neither paths
// nor recursion.
func TestDeleteTree(t *testing.T) {
	top := filepath.Join(t.TempDir(), "x")
	if err := os.Mkdir(top, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".up-1", "a\nb", "link", "full"} {
		switch name {
		case "link":
			if err := os.Symlink("/", filepath.Join(top, name)); err != nil {
				t.Fatal(err)
			}
		default:
			if err := os.MkdirAll(filepath.Join(top, name, "sub", "sub"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 3000 { // more than one listing
		if err := os.WriteFile(filepath.Join(top, "full", strconv.Itoa(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := unix.Open(top, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 3000 {
		name := strings.Repeat("d", 100)
		if err := unix.Mkdirat(dir, name, 0o700); err != nil {
			t.Fatal(err)
		}
		down, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(dir)
		dir = down
	}
	unix.Close(dir)
	if err := deleteTree(t.Context(), top); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(top); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	if err := deleteTree(t.Context(), top); err != nil {
		t.Errorf("what is gone is no error: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := os.MkdirAll(filepath.Join(top, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	_ = deleteTree(ctx, top) // may stop at once; the next one ends it
	if err := deleteTree(t.Context(), top); err != nil {
		t.Error(err)
	}
}
