package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// process is one of the machine's.
type process struct {
	pid, parent int
	command     string // its arguments, with blanks between
}

// processes are all there are.
func processesNow() ([]process, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var all []process
	for _, dir := range dirs {
		line, err := os.ReadFile(dir + "/cmdline")
		stat, e := os.ReadFile(dir + "/stat")
		if err != nil || e != nil {
			continue // it has ended
		}
		p := process{command: strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))}
		p.pid, _ = strconv.Atoi(filepath.Base(dir))
		_, rest, _ := strings.Cut(string(stat), ") ") // the name before it may hold anything
		var state string
		if _, err := fmt.Sscan(rest, &state, &p.parent); err != nil || state == "Z" {
			continue
		}
		all = append(all, p)
	}
	return all, nil
}

// proportional is the memory of processes, with what several share divided among them: bytes.
func proportional(all []process) (int64, error) {
	var sum int64
	for _, p := range all {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.pid))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		_, rest, ok := strings.Cut(string(text), "\nPss:")
		var kilobytes int64
		if _, err := fmt.Sscan(rest, &kilobytes); !ok || err != nil {
			return 0, fmt.Errorf("smaps_rollup of %d has no Pss", p.pid)
		}
		sum += kilobytes << 10
	}
	return sum, nil
}

// activity is what processes have done since they began.
type activity struct {
	switches int64 // how often one of their threads went to sleep or had to give way
	ran      time.Duration
}

func activityOf(all []process) (a activity) {
	for _, p := range all {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*", p.pid)) // the pattern is good
		for _, dir := range threads {
			status, err := os.ReadFile(dir + "/status")
			times, e := os.ReadFile(dir + "/schedstat")
			if err != nil || e != nil {
				continue
			}
			for l := range strings.Lines(string(status)) {
				if name, n, _ := strings.Cut(l, ":"); strings.HasSuffix(name, "ctxt_switches") {
					count, _ := strconv.ParseInt(strings.TrimSpace(n), 10, 64)
					a.switches += count
				}
			}
			var ran int64
			if _, err := fmt.Sscan(string(times), &ran); err == nil {
				a.ran += time.Duration(ran)
			}
		}
	}
	return a
}

// under are the processes that descend from one.
func under(all []process, pid int) []process {
	found, at := []process{}, []int{pid}
	for len(at) > 0 {
		var next []int
		for _, p := range all {
			if slices.Contains(at, p.parent) {
				found, next = append(found, p), append(next, p.pid)
			}
		}
		at = next
	}
	return found
}
