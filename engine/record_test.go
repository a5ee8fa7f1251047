package engine

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func testRecord() *record {
	return &record{
		Version: recordVersion, ID: testID, Name: "web", Owner: Owner{UID: 7, GID: 8}, Created: time.Unix(1, 5).UTC(),
		Settings: map[string]string{"env": "A=1\n"}, Image: &Image{ID: "sha256:1", Cmd: []string{"a"}}, Started: true,
	}
}

func TestRecord(t *testing.T) {
	dir := t.TempDir()
	want := testRecord()
	for _, durable := range []bool{true, false} {
		if err := want.write(dir, durable); err != nil {
			t.Fatal(err)
		}
	}
	got, err := readRecord(dir, testID)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	st, err := os.Stat(filepath.Join(dir, recordFile))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: a record has environment in it and must be private", st.Mode(), err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("%v, %v: a temporary file is left", names, err)
	}
}

func TestRecordRefuses(t *testing.T) {
	change := func(f func(*record)) []byte {
		r := testRecord()
		f(r)
		data, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, data := range map[string][]byte{
		"empty":         {},
		"cut":           change(func(*record) {})[:40],
		"later release": change(func(r *record) { r.Version = 99 }),
		"another's":     change(func(r *record) { r.ID = strings.Repeat("f", 64) }),
		"bad name":      change(func(r *record) { r.Name = "../x" }),
		"bad setting":   change(func(r *record) { r.Settings["tty"] = "maybe" }),
		"no setting":    change(func(r *record) { r.Settings["nosuch"] = "1" }),
	} {
		if _, err := parseRecord(data, testID); err == nil {
			t.Errorf("%s: was read", name)
		}
	}
}

// A state is whole whatever was there before it: nothing, a longer one, one of many pages.
func TestStateWrittenOver(t *testing.T) {
	dir := t.TempDir()
	for _, length := range []int{10, 3000, 20, 100_000, 30, 5000, 1} {
		want := &state{State: Exited, Error: strings.Repeat("x", length)}
		if err := want.write(dir); err != nil {
			t.Fatal(err)
		}
		if got := readState(dir); got == nil || got.Error != want.Error || got.State != Exited {
			t.Errorf("a state of %d bytes was read as %+v", length, got)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 1 {
		t.Errorf("there are %q, %v", left, err)
	}
}

func TestState(t *testing.T) {
	dir := t.TempDir()
	if s := readState(dir); s != nil {
		t.Errorf("%+v from nothing", s)
	}
	want := state{
		State: Exited, Run: runNote{PID: 3, Range: rangeFirst, Started: time.Unix(3, 4).UTC()},
		Finished: time.Unix(5, 6).UTC(), Exit: &Exit{Code: 137, Signal: 9, At: time.Unix(5, 6).UTC()}, Error: "x",
	}
	if err := want.write(dir); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&want, readState(dir)); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{"", "{", `{"state":"flying"}`, "\x00\x00\x00"} {
		if err := os.WriteFile(filepath.Join(dir, stateFile), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if s := readState(dir); s != nil {
			t.Errorf("%q was read: %+v", bad, s)
		}
	}
}

// FuzzRecord: whatever is read can be worked with.
func FuzzRecord(f *testing.F) {
	good, _ := json.Marshal(testRecord())
	f.Add(good)
	f.Add([]byte("{}"))
	f.Add([]byte(`{"version":1,"id":"` + testID + `","name":"web","settings":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRecord(data, testID)
		if err != nil {
			return
		}
		if r.Settings == nil || checkName("", r.Name) != nil {
			t.Fatalf("%+v", r)
		}
		set, err := parseSettings(r.Settings)
		if err != nil {
			t.Fatal(err)
		}
		if r.Image != nil {
			_, _ = set.resolve(r.ID, "", r.Image)
		}
	})
}
