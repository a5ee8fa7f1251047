package tests

import (
	"fmt"
	"strings"
	"testing"
)

// TestBombsInside: who takes all processes or all memory that he can get takes them from himself. Meanwhile the tree
// answers, other containers start, and in the end nothing is left.
func TestBombsInside(t *testing.T) {
	a := newAttacker(t)
	run := func(flags, command string) string {
		return fmt.Sprintf("./run %s %s/attack:1 %s", flags, addr, command)
	}
	t.Run("processes", func(t *testing.T) {
		a.must(t, run("-d --name f --pids-limit 64 --cpus 0.5", "/attack/attack fork"))
		a.await(t, "test $(wc -l < containers/f/processes) -gt 60")
		for range 3 {
			if out := a.out(t, "timeout 60 ls -l containers images && timeout 60 %s", run("--rm", "echo answers")); !strings.Contains(out, "answers") {
				t.Errorf("it prints %s", out)
			}
		}
		a.must(t, "timeout 60 sh -c \"echo 'remove force' > containers/f/ctl\" && test ! -e containers/f")
	})
	t.Run("memory", func(t *testing.T) {
		a.must(t, run("-d --name m -m 64m --memory-swap 64m", "/attack/attack eat"))
		a.must(t, "timeout 60 ls -l containers images")
		a.must(t, "timeout 60 containers/m/wait; test $(cat containers/m/status) = exited")
		if got := a.out(t, "cat containers/m/exit containers/m/oom containers/m/error"); !strings.Contains(got, "137") || !strings.Contains(got, "memory") {
			t.Errorf("it ended as %s", got)
		}
		a.must(t, "rm -r containers/m")
	})
	t.Run("shared memory", func(t *testing.T) {
		if out, err := a.shell(run("--rm", "dd if=/dev/zero of=/dev/shm/all bs=1M")); err == nil || !strings.Contains(out, "No space left") {
			t.Errorf("%v, %s", err, out)
		}
	})
	t.Run("devices", func(t *testing.T) {
		if out, err := a.shell(run("--rm", "dd if=/dev/zero of=/dev/all bs=1M")); err == nil || !strings.Contains(out, "No space left") {
			t.Errorf("%v, %s", err, out)
		}
	})
}
