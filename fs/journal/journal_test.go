package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func openTest(t *testing.T, dir string, o Options) *Journal {
	t.Helper()
	j, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func all(t *testing.T, r *Reader) string {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func add(t *testing.T, j *Journal, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := j.Append(Event{Type: "call", Action: "test", Object: fmt.Sprintf("n%04d", i)}); err != nil {
			t.Fatal(err)
		}
	}
}

func objects(t *testing.T, text string) []string {
	t.Helper()
	var os []string
	for _, l := range strings.Split(strings.TrimSpace(text), "\n") {
		var e Event
		if err := json.Unmarshal([]byte(l), &e); err != nil {
			t.Fatalf("%q: %v", l, err)
		}
		os = append(os, e.Object)
	}
	return os
}

func TestRingIsBoundedAndReadersAreNot(t *testing.T) {
	dir := t.TempDir()
	j := openTest(t, dir, Options{Segments: 3, Bytes: 2000})
	add(t, j, 0, 10)
	r, err := j.NewReader()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	first := all(t, r)
	add(t, j, 10, 300)
	files, _ := os.ReadDir(dir)
	if len(files) != 3 || j.Size() > 3*2000 {
		t.Errorf("%d files, %d bytes", len(files), j.Size())
	}
	got := all(t, r)
	if !strings.HasPrefix(got, first) {
		t.Error("the offsets of an open reader shift")
	}
	for i, o := range objects(t, got) {
		if o != fmt.Sprintf("n%04d", i) {
			t.Fatalf("event %d is %s", i, o)
		}
	}
	late, err := j.NewReader()
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	if o := objects(t, all(t, late)); o[len(o)-1] != "n0299" || o[0] == "n0000" || int64(len(all(t, late))) != j.Size() {
		t.Errorf("a new reader shows %s to %s", o[0], o[len(o)-1])
	}
}

func TestAReaderHoldsABoundedPast(t *testing.T) {
	j := openTest(t, t.TempDir(), Options{Segments: 2, Bytes: 500})
	add(t, j, 0, 3)
	r, err := j.NewReader()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	size := r.Size()
	for range 100 {
		add(t, j, 0, 5)
		if n := r.Size(); n < size {
			t.Fatalf("the size shrinks from %d to %d", size, n)
		} else {
			size = n
		}
	}
	if len(r.held) > 2+extra {
		t.Errorf("a reader holds %d segments", len(r.held))
	}
	if _, err := r.ReadAt(make([]byte, 10), 0); err == nil {
		t.Error("what is gone can be read")
	}
	b := make([]byte, 200)
	if n, err := r.ReadAt(b, size-200); n != 200 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestACrashCutsALine(t *testing.T) {
	dir := t.TempDir()
	j := openTest(t, dir, Options{})
	add(t, j, 0, 3)
	j.Close()
	name := filepath.Join(dir, "00000001.jsonl")
	f, _ := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	f.WriteString(`{"time":"2026`)
	f.Close()
	os.WriteFile(filepath.Join(dir, "notes"), nil, 0o600)
	j = openTest(t, dir, Options{})
	add(t, j, 3, 5)
	r, _ := j.NewReader()
	defer r.Close()
	if o := objects(t, all(t, r)); len(o) != 5 || o[4] != "n0004" {
		t.Error(o)
	}
}

func TestManyWriters(t *testing.T) {
	j := openTest(t, t.TempDir(), Options{Segments: 100, Bytes: 3000})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() { add(t, j, w*100, w*100+100) })
	}
	wg.Wait()
	r, _ := j.NewReader()
	defer r.Close()
	seen := map[string]bool{}
	for _, o := range objects(t, all(t, r)) {
		seen[o] = true
	}
	if len(seen) != 800 {
		t.Errorf("%d events", len(seen))
	}
}

func TestClosed(t *testing.T) {
	j := openTest(t, t.TempDir(), Options{})
	add(t, j, 0, 1)
	r, err := j.NewReader()
	if err != nil {
		t.Fatal(err)
	}
	j.Close()
	if len(all(t, r)) == 0 {
		t.Error("a reader that was open does not outlive the journal")
	}
	r.Close()
	if _, err := j.NewReader(); err == nil {
		t.Error("a closed journal is readable")
	}
	if j.Append(Event{}) == nil {
		t.Error("a closed journal takes events")
	}
	if _, err := r.ReadAt(make([]byte, 1), 0); err == nil {
		t.Error("a closed reader reads")
	}
}

// Others than root and the group see what is theirs and what they have asked for, as a file of its own that only grows.
func TestViews(t *testing.T) {
	dir := t.TempDir()
	j := openTest(t, dir, Options{Segments: 3, Bytes: 2000})
	ann, bob := uint32(7), uint32(8)
	say := func(from, to int) (anns []string) {
		for i := from; i < to; i++ {
			e := Event{Type: "call", Action: "test", Object: fmt.Sprintf("n%04d", i)}
			switch i % 5 {
			case 1:
				e.UID = &bob
			case 2:
				e.Owner = ann
			case 3:
				e.Owner, e.UID = ann, &ann
			case 4:
				e.Owner, e.UID = bob, &ann
			}
			if i%5 > 1 {
				anns = append(anns, e.Object)
			}
			if err := j.Append(e); err != nil {
				t.Fatal(err)
			}
		}
		return anns
	}
	view := func(uid uint32) *Reader {
		r, err := j.NewView(uid)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		return r
	}
	want := say(0, 12)
	j.Close()
	j = openTest(t, dir, Options{Segments: 3, Bytes: 2000}) // what was written before counts
	r := view(ann)
	first := all(t, r)
	if got := objects(t, first); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	want = append(want, say(12, 200)...)
	got := all(t, r)
	if o := objects(t, got); !strings.HasPrefix(got, first) || !slices.Equal(o, want) {
		t.Errorf("%q, want %q", o, want)
	}
	for at := range int64(len(got)) { // from any offset, a little
		b := make([]byte, 7)
		n, err := r.ReadAt(b, at)
		if string(b[:n]) != got[at:min(int(at)+7, len(got))] || err != nil && !errors.Is(err, io.EOF) {
			t.Fatalf("at %d: %q, %v", at, b[:n], err)
		}
	}
	if b := all(t, view(bob)); strings.Contains(b, `"owner":7`) && !strings.Contains(b, `"uid":8`) || b == "" {
		t.Errorf("bob sees %s", b)
	}
	if b := all(t, view(9)); b != "" {
		t.Errorf("a stranger sees %s", b)
	}
	late := objects(t, all(t, view(ann)))
	if len(late) == 0 || len(late) == len(want) || late[len(late)-1] != want[len(want)-1] {
		t.Errorf("a late view shows %q", late)
	}
	held, size := view(ann), int64(0)
	for range 200 {
		say(0, 5)
		if n := held.Size(); n < size {
			t.Fatalf("the size shrinks from %d to %d", size, n)
		} else {
			size = n
		}
	}
}

func TestLast(t *testing.T) {
	j := openTest(t, t.TempDir(), Options{Segments: 3, Bytes: 2000})
	if _, ok := j.Last("daemon"); ok {
		t.Error("there is none")
	}
	for _, action := range []string{"mount", "umount"} {
		if err := j.Append(Event{Type: "daemon", Action: action, Object: "/hull"}); err != nil {
			t.Fatal(err)
		}
		if err := j.Append(Event{Type: "call", Error: `it said "type":"daemon"`}); err != nil {
			t.Fatal(err)
		}
		add(t, j, 0, 20)
		if e, ok := j.Last("daemon"); !ok || e.Action != action || e.Object != "/hull" {
			t.Errorf("%v %+v", ok, e)
		}
	}
}
