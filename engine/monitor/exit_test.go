package monitor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestExitRecord(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadExit(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no record: %v", err)
	}
	for i := range 2 {
		want := Exit{ID: "web", Code: 137, Signal: 9, OOM: true, Started: time.Now().Round(0), At: time.Now().Add(time.Second).Round(0)}
		if i == 0 { // the room for it may be missing
			if err := reserve(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := ReadExit(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("reserved: %v", err)
			}
		}
		if err := writeExit(dir, want); err != nil {
			t.Fatal(err)
		}
		if err := syncExit(dir); err != nil {
			t.Fatal(err)
		}
		got, err := ReadExit(dir)
		if err != nil || got.Code != want.Code || got.Signal != want.Signal || !got.OOM || !got.Started.Equal(want.Started) || !got.At.Equal(want.At) {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	}
	// What a machine without power may leave.
	for _, text := range []string{"", string(blank(nil)), string(make([]byte, recordSize))} {
		if err := os.WriteFile(filepath.Join(dir, exitFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadExit(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := writeExit(filepath.Join(dir, "nowhere"), Exit{}); err == nil {
		t.Error("a record was written into nothing")
	}
	if err := syncExit(filepath.Join(dir, "nowhere")); err != nil { // the container was removed
		t.Error(err)
	}
}

func FuzzStatus(f *testing.F) {
	for _, s := range []Status{{Grew: true}, {Code: 3}, {Code: 137, Signal: 9, OOM: true}} {
		b := s.Encode()
		f.Add(b[:])
	}
	f.Add([]byte("exit"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeStatus(b)
		if err != nil {
			return
		}
		again := s.Encode()
		if got, err := DecodeStatus(again[:]); err != nil || got != s {
			t.Errorf("%+v became %+v, %v", s, got, err)
		}
	})
}

func TestOOMKills(t *testing.T) {
	for text, want := range map[string]int64{
		"oom_kill_disable 0\nunder_oom 0\noom_kill 3\n":               3, // v1
		"low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 0\n": 1, // v2
		"oom_kill_disable 1\n":                                        0, "": 0, "oom_kill x\n": 0, "oom_kill": 0,
	} {
		name := filepath.Join(t.TempDir(), "events")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := oomKills(f); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
		_ = f.Close()
	}
	if oomKills(nil) != 0 {
		t.Error("no file has kills")
	}
}
