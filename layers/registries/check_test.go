package registries

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	if _, err := b.Add("reg.test"); err != nil {
		t.Fatal(err)
	}
	if err := b.SetInsecure("reg.test", "true"); err != nil {
		t.Fatal(err)
	}
	found := func(mend bool, want int) string {
		t.Helper()
		var lines []string
		n, err := b.Check(mend, func(line string) { lines = append(lines, line) })
		if err != nil || n != want {
			t.Fatalf("%d flaws, want %d: %v: %q", n, want, err, lines)
		}
		return strings.Join(lines, "\n")
	}
	found(false, 0)
	path := filepath.Join(dir, "reg.test.json")
	for name, harm := range map[string]func() error{
		"emptied":   func() error { return os.WriteFile(path, nil, 0o600) },
		"changed":   func() error { return os.WriteFile(path, []byte(`{"domain":"reg.test","insecure":"false"}`), 0o600) },
		"removed":   func() error { return os.Remove(path) },
		"directory": func() error { return os.MkdirAll(filepath.Join(path, "full"), 0o700) },
		"fifo":      func() error { return unix.Mkfifo(path, 0o600) },
	} {
		if name == "directory" || name == "fifo" {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		if err := harm(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if text := found(false, 1); !strings.Contains(text, "reg.test.json") {
			t.Errorf("%s: %s", name, text)
		}
		open(t, dir) // it does not hang, and does not fail
		found(true, 0)
		found(false, 0)
		if again := open(t, dir); !again.Insecure("reg.test") {
			t.Errorf("%s: the setting is lost", name)
		}
	}
	// One that nothing is known of goes aside.
	if err := os.WriteFile(filepath.Join(dir, "odd.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	found(false, 1)
	found(true, 0)
	found(false, 0)
	if _, err := os.Stat(filepath.Join(dir, "odd.json.bad")); err != nil {
		t.Error(err)
	}
}
