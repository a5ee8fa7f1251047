package tests

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// reasons are what an exec may be refused with while its container is frozen,
// stopped and started again.
var reasons = []string{"is paused; unpause it first", "is not running", "container has ended", "was killed before its command ran"}

// TestExecRaces executes commands in a container that is paused and unpaused, then
// killed and started, again and again: each either runs or says why not, none hangs,
// and nothing of them is left.
func TestExecRaces(t *testing.T) {
	needs(t)
	m := boxed(t, "")
	for name, turn := range map[string]string{
		"pause":   "echo pause > containers/box/ctl && echo unpause > containers/box/ctl",
		"restart": "echo kill > containers/box/ctl; echo start > containers/box/ctl",
	} {
		t.Run(name, func(t *testing.T) {
			over := make(chan struct{})
			var executing sync.WaitGroup
			for range 4 {
				executing.Go(func() { m.executeUntil(t, over) })
			}
			for range 25 {
				m.must(t, turn)
			}
			close(over)
			executing.Wait()
			m.must(t, "containers/box/exec/true")
			m.must(t, "for i in $(seq 600); do grep -q running containers/box/sessions/*/status || exit 0; sleep 0.1; done; false")
		})
	}
}

// executeUntil executes a command again and again.
func (m *mounted) executeUntil(t *testing.T, over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		default:
		}
		cmd := exec.Command(m.path("hull/containers/box/exec/true"))
		watch := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		out, err := cmd.CombinedOutput()
		if !watch.Stop() {
			t.Error("an exec hangs")
			return
		}
		if why := fair(string(out), err); why != nil {
			t.Error(why)
			return
		}
	}
}

// fair tells what is wrong with how an exec ended: it has run, or was killed with the
// container, or said why it did not run.
func fair(out string, err error) error {
	var x *exec.ExitError
	switch {
	case err == nil && out == "":
		return nil
	case !errors.As(err, &x):
		return fmt.Errorf("%w: %s", err, out)
	case x.ExitCode() == 137 && out == "":
		return nil
	case x.ExitCode() == 125:
		for _, r := range reasons {
			if strings.Contains(out, r) {
				return nil
			}
		}
	}
	return fmt.Errorf("%w: %s", err, out)
}
