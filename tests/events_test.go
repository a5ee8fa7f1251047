package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"hull/fs/journal"
)

// strangeEvents are the lines of the mount's events that are not as described.
func (m *mounted) strangeEvents() (problems []string) {
	files, _ := filepath.Glob(m.path("store/events/*.jsonl"))
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			problems = append(problems, err.Error())
		}
		for line := range strings.Lines(string(b)) {
			if !strings.HasSuffix(line, "\n") { // cut short by a crash
				continue
			}
			var e journal.Event
			err := json.Unmarshal([]byte(line), &e)
			if err == nil {
				err = journal.Check(e)
			}
			if err != nil {
				problems = append(problems, fmt.Sprintf("an event that is not described (%v): %s", err, strings.TrimSpace(line)))
			}
		}
	}
	return problems
}

// TestEventsAreTried holds the list of a script to be that of what is described.
func TestEventsAreTried(t *testing.T) {
	a, err := txtar.ParseFile("testdata/events-all.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, k := range journal.Kinds() {
		if k.Type != "call" { // its actions are whatever was to be done
			want = append(want, k.Type+" "+k.Action)
		}
	}
	slices.Sort(want)
	got := strings.Split(strings.TrimSpace(string(a.Files[0].Data)), "\n")
	if !slices.Equal(got, want) {
		t.Errorf("events-all.txtar waits for %q, described are %q", got, want)
	}
}
