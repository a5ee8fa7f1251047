package tests

import (
	"os"
	"os/exec"
	"testing"
)

// boxed mounts hull for a test, with a container "box" that sleeps, made with flags
// of run. When the test is over nothing may be left.
func boxed(t *testing.T, flags string) *mounted {
	t.Helper()
	base, err := os.MkdirTemp("", "hull-box-")
	if err != nil {
		t.Fatal(err)
	}
	m := &mounted{base: base}
	t.Cleanup(func() {
		_, _ = m.shell("echo kill > containers/box/ctl") // it heeds nothing else
		for _, p := range m.end() {
			t.Errorf("left behind: %s", p)
		}
	})
	if out, err := exec.Command(hull, m.mountArgs(nil)...).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	m.must(t, "mkdir -p $I/host:1 && $I/host:1/wait && ./run -d --name box "+flags+" $REG/host:1 sleep 1000")
	return m
}
