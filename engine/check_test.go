package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCheckRecords(t *testing.T) {
	w := newWorld(t)
	c := w.create("web", "exit 0", false)
	check := func(mend bool, want int) string {
		t.Helper()
		var lines []string
		n, err := w.e.Check(t.Context(), mend, func(line string) { lines = append(lines, line) })
		if err != nil || n != want {
			t.Fatalf("%d flaws, want %d: %v: %q", n, want, err, lines)
		}
		return strings.Join(lines, "\n")
	}
	check(false, 0)
	path := filepath.Join(w.e.containerDir(c.ID), recordFile)
	for _, harm := range []func() error{
		func() error { return os.Truncate(path, 0) },
		func() error { return os.Remove(path) },
		func() error { return unix.Mkfifo(path+".", 0o600) },
		func() error { return os.Mkdir(path+".", 0o700) },
	} {
		if err := harm(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(path + "."); err == nil {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".", path); err != nil {
				t.Fatal(err)
			}
		}
		if text := check(false, 1); !strings.Contains(text, c.ID+"/record.json") {
			t.Errorf("it says %s", text)
		}
		check(true, 0)
		check(false, 0)
	}
	// A container that has files is one, whatever became of its record.
	if err := os.MkdirAll(filepath.Join(w.e.containerDir(c.ID), diskDir, "upper", "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.close()
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	w.open()
	got, ok := w.e.Find(c.ID)
	if !ok || got.State != Dead {
		t.Fatalf("it is %+v", got)
	}
	if text := check(true, 1); !strings.Contains(text, "dead") {
		t.Errorf("it says %s", text)
	}
}
