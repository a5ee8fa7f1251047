package unpack

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
)

// TestNotes: a long list waits on the disk, and comes back as it was.
func TestNotes(t *testing.T) {
	for _, count := range []int{0, 1, 100, 20_000} {
		dir := staging(t)
		n := notes{in: sys.Of(dir)}
		defer n.close()
		var want []dirTimes
		for i := range count {
			note := dirTimes{path: fmt.Sprintf("%d/%s", i, strings.Repeat("n", i*7%maxPath))}
			note.times = [2]unix.Timespec{{Sec: int64(i), Nsec: 999_999_999}, {Sec: -int64(i), Nsec: int64(i)}}
			want = append(want, note)
			if err := n.add(note.path, note.times); err != nil {
				t.Fatal(err)
			}
		}
		if spilled := count > 1000; spilled != (n.size > 0) || cap(n.kept) > 4*notesKept {
			t.Errorf("of %d notes %d bytes are on the disk, and %d in memory", count, n.size, cap(n.kept))
		}
		for range 2 {
			var got []dirTimes
			if err := n.each(func(d dirTimes) error {
				got = append(got, d)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%d notes come back otherwise than they were", count)
			}
		}
		if left, err := dir.Readdirnames(-1); err != nil || len(left) > 0 {
			t.Errorf("beside the layer lie %q, %v", left, err)
		}
	}
}

// TestNotesWithoutEnd: what would fill the disk is refused.
func TestNotesWithoutEnd(t *testing.T) {
	n := notes{in: sys.Of(staging(t)), size: 0}
	defer n.close()
	path := strings.Repeat("n", maxPath)
	for range 2 * maxNoted / len(path) {
		err := n.add(path, [2]unix.Timespec{})
		var e *Error
		if errors.As(err, &e) && e.Kind == TooLarge {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Errorf("%d bytes of notes are taken", n.size)
}

// TestDeep: directories in one another cost no more than as many beside each
// other, though each asks what lies below.
func TestDeep(t *testing.T) {
	needRoot(t)
	dir := staging(t)
	u := newUnpacker(t.Context(), sys.Of(dir), Options{Limits: Limits{}.withDefaults()})
	defer u.close()
	u.in = readAhead(strings.NewReader(string(archive(t, file(strings.Repeat("d/", 1000)+"f", "")))), u.streamLimit)
	defer u.in.close()
	if err := u.run(); err != nil {
		t.Fatal(err)
	}
	if u.steps > 20_000 {
		t.Errorf("for a thousand directories %d were gone through", u.steps)
	}
}
