package tests

import "testing"

// boxed mounts hull for a test, with a container "box" that sleeps, made with flags
// of run. When the test is over nothing may be left.
func boxed(t *testing.T, flags string) *mounted {
	t.Helper()
	m := ground(t, "box")
	t.Cleanup(func() { _, _ = m.shell("echo kill > containers/box/ctl") }) // it heeds nothing else
	m.mount(t)
	m.must(t, "mkdir -p $I/host:1 && $I/host:1/wait && ./run -d --name box "+flags+" $REG/host:1 sleep 1000")
	return m
}
