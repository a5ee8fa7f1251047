package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Check reads every container's, volume's and network's record again. It tells in a line of each that is not what hull wrote, and with mend
// writes it anew, and returns how many flaws there are, or are left. A record that could not be read when hull started
// cannot be mended: its container is dead.
func (e *Engine) Check(ctx context.Context, mend bool, report func(line string)) (flaws int, err error) {
	for _, c := range e.List() {
		line, mended := "", false
		err := e.ask(ctx, "check", c.ID, func(s *supervisor, answer func(error)) {
			line, mended = s.check(mend)
			answer(nil)
		})
		switch k := KindOf(err); {
		case err != nil && (k == Removed || k == NotFound):
			continue
		case err != nil:
			return flaws, err
		}
		if line == "" {
			continue
		}
		if !mended {
			flaws++
		}
		report(line)
	}
	flaws += e.volumes.Check(mend, report)
	more, err := e.networks.Check(ctx, mend, report)
	return flaws + more, asError("check", err)
}

// check says what is wrong with the container's record.
func (s *supervisor) check(mend bool) (line string, mended bool) {
	file := filepath.Join("containers", s.id, recordFile)
	if s.st.State == Dead {
		return fmt.Sprintf("the container %s is dead: %s; mend that by hand and mount again, or remove the container", s.rec.Name, s.st.Error), false
	}
	have, err := readRecord(s.dir, s.id)
	if err == nil && sameJSON(have, s.rec) {
		return "", false
	}
	line = "the record " + file + " says something else than hull wrote"
	if err != nil {
		line = fmt.Sprintf("the record %s cannot be read (%v)", file, err)
	}
	if !mend {
		return line, false
	}
	path := filepath.Join(s.dir, recordFile)
	if info, err := os.Lstat(path); err == nil && info.IsDir() { // which no file replaces
		if err := os.Rename(path, path+".bad"); err != nil {
			return line + "; not mended: " + err.Error(), false
		}
	}
	if err := s.rec.write(s.dir, true); err != nil {
		return line + "; not mended: " + err.Error(), false
	}
	s.e.crash(checkMended)
	return line + "; written anew", true
}

func sameJSON(a, b any) bool {
	x, err := json.Marshal(a)
	if err != nil {
		return false
	}
	y, err := json.Marshal(b)
	return err == nil && bytes.Equal(x, y)
}
