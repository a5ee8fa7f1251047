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
func umount(ctx context.Context, dir string, stop, leave bool) error {
	mode := monitor.Ask
	switch {
	case stop:
		mode = monitor.Stop
	case leave:
		mode = monitor.Leave
	}
	err := onMount(ctx, dir, func(c *monitor.Control) error { return c.Umount(ctx, mode) })
	var e *monitor.Error
	if errors.As(err, &e) && e.Kind == monitor.Busy {
		return fmt.Errorf("%s is busy: %s running; stop them, or use --stop or --leave", dir, list(e.Names))
	}
	return err
}

// onMount asks the monitor of the hull whose tree is on dir for something, and whichever follows it if it is killed
// meanwhile. nil if the mount has ended instead.
func onMount(ctx context.Context, dir string, ask func(*monitor.Control) error) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	run, err := runDirectory(dir)
	if err != nil {
		return err
	}
	if run == "" {
		return fmt.Errorf("hull is not mounted on %s", dir)
	}
	o := options{Dir: dir, Run: run}
	control, err := nextMonitor(ctx, o, soonWithin)
	if control == nil {
		return err
	}
	last, err := outliving(ctx, o, control, ask)
	if last != nil {
		_ = last.Close()
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

// runDirectory returns the run directory of the hull whose tree, alive or dead,
// is on dir; empty if none is. It asks the mount table, where that directory
// stands as the device, and not the tree: a dead mount answers nothing.
func runDirectory(dir string) (string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	defer f.Close()
	escaped := strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`).Replace(dir)
	plain := strings.NewReplacer(`\134`, `\`, `\040`, " ", `\011`, "\t", `\012`, "\n", `\043`, "#")
	s := bufio.NewScanner(f)
	run := ""
	for s.Scan() {
		before, after, ok := strings.Cut(s.Text(), " - ")
		fields := strings.Fields(before)
		mount := strings.Fields(after)
		if ok && len(fields) > 4 && fields[4] == escaped && len(mount) > 1 && mount[0] == "fuse.hull" {
			run = plain.Replace(mount[1]) // the last one is on top
		}
	}
	return run, s.Err()
}
