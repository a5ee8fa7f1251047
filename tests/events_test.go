package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

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
