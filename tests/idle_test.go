package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestIdle has containers sleep, and wants hull to sleep, too: no thread of its processes may wake for two seconds. A
// clock of theirs that ticks more often than that would show each time it is tried; that the Go runtime looks once a
// minute whether there is something to do does not.
func TestIdle(t *testing.T) {
	needs(t)
	m := boxed(t, "")
	m.must(t, "for i in 1 2 3; do ./run -d --name s$i $REG/host:1 sleep 1000; done; ls -lR containers > /dev/null; cat containers.txt containers/s*/stats > /dev/null")
	deadline := time.Now().Add(patience)
	for before := m.switches(t); ; {
		time.Sleep(2 * time.Second)
		now := m.switches(t)
		if now == before {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("hull does not sleep: its threads' context switches were\n%sand two seconds later\n%s", before, now)
		}
		before = now
	}
	m.must(t, "for i in 1 2 3; do echo 'remove force' > containers/s$i/ctl; done")
}

// switches are the context switches of all threads of hull's processes.
func (m *mounted) switches(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, role := range []string{"monitor", "daemon"} {
		pids := m.role(role)
		if len(pids) != 1 {
			t.Fatalf("there are %d processes %s", len(pids), role)
		}
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*", pids[0]))
		if err != nil || len(threads) == 0 {
			t.Fatalf("%s has no threads: %v", role, err)
		}
		for _, dir := range threads {
			status, err := os.ReadFile(dir + "/status")
			if err != nil {
				continue // it has ended
			}
			fmt.Fprintf(&all, "%s %s:", role, filepath.Base(dir))
			for l := range strings.Lines(string(status)) {
				if name, count, _ := strings.Cut(l, ":"); strings.HasSuffix(name, "ctxt_switches") {
					all.WriteString(" " + strings.TrimSpace(count))
				}
			}
			all.WriteString("\n")
		}
	}
	return all.String()
}
