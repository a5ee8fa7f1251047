package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"hull/engine/monitor"
)

// umount ends the mount on dir.
func umount(ctx context.Context, dir, run string, stop, leave bool) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	mounted, err := isMounted(dir)
	if err != nil {
		return err
	}
	if !mounted {
		return fmt.Errorf("hull is not mounted on %s", dir)
	}
	control, err := monitor.Dial(ctx, run)
	if err != nil {
		return fmt.Errorf("%w; if the mount used another --run, name it", err)
	}
	defer control.Close()
	mode := monitor.Ask
	switch {
	case stop:
		mode = monitor.Stop
	case leave:
		mode = monitor.Leave
	}
	err = control.Umount(ctx, mode)
	var e *monitor.Error
	if errors.As(err, &e) && e.Kind == monitor.Busy {
		return fmt.Errorf("%s is busy: %s running; stop them, or use --stop or --leave", dir, list(e.Names))
	}
	return err
}

// list words the names of what runs.
func list(names []string) string {
	const most = 5
	verb := "are"
	if len(names) == 1 {
		verb = "is"
	}
	if len(names) > most {
		return fmt.Sprintf("%s and %d more %s", strings.Join(names[:most], ", "), len(names)-most, verb)
	}
	return strings.Join(names, ", ") + " " + verb
}

// isMounted tells whether a hull tree, alive or dead, is on dir. It asks the
// mount table and not the directory: a dead mount answers nothing.
func isMounted(dir string) (bool, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return false, err
	}
	defer f.Close()
	escaped := strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`).Replace(dir)
	s := bufio.NewScanner(f)
	for s.Scan() {
		before, after, ok := strings.Cut(s.Text(), " - ")
		fields := strings.Fields(before)
		if ok && len(fields) > 4 && fields[4] == escaped && strings.HasPrefix(after, "fuse.hull ") {
			return true, nil
		}
	}
	return false, s.Err()
}
