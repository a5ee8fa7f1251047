package tests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ends waits for the end of a command of hull's.
func ends(t *testing.T, cmd *exec.Cmd) error {
	t.Helper()
	late := time.AfterFunc(2*patience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	return cmd.Wait()
}

// replaced waits until another process has a role than had it before.
func (m *mounted) replaced(t *testing.T, role string, before []int) {
	t.Helper()
	for late := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if now := m.role(role); len(now) == 1 && !slices.Contains(before, now[0]) {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("no other %s comes", role)
		}
	}
}

// killMonitor kills the monitor, and waits until its daemon has given its place to another: until then, what is asked is
// answered by a tree that is about to go.
func (m *mounted) killMonitor(t *testing.T) {
	t.Helper()
	monitors, daemons := m.role("monitor"), m.role("daemon")
	m.signal(t, "monitor", unix.SIGKILL)
	m.replaced(t, "monitor", monitors)
	m.replaced(t, "daemon", daemons)
}

// TestForeground: a mount in the foreground outlives its monitor, whose successor it finds, and ends as ever.
func TestForeground(t *testing.T) {
	needs(t)
	m := ground(t, "foreground")
	args := m.mountArgs(nil)
	front := exec.Command(hull, append(args[:1], args[2:]...)...)
	var said bytes.Buffer
	front.Stdout, front.Stderr = &said, &said
	front.WaitDelay = time.Second
	if err := front.Start(); err != nil {
		t.Fatal(err)
	}
	for late := time.Now().Add(patience); !m.isMounted(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("nothing is mounted")
		}
	}
	m.must(t, "mkdir -p $I/host:1 && $I/host:1/wait && ./run -d --stop-timeout 0 --name box $REG/host:1 sleep 1000")
	for range 2 {
		m.killMonitor(t)
		m.back(t)
		for _, role := range []string{"monitor", "daemon"} {
			name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", m.role(role)[0]))
			if err != nil || string(name) != "hull\n" {
				t.Errorf("ps calls the %s %q, %v", role, name, err)
			}
		}
	}
	if err := front.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatalf("it has ended with its monitor: %v", err)
	}
	if err := ends(t, front); err != nil {
		t.Errorf("it ends with %v: %s", err, &said)
	}
	if m.isMounted() {
		t.Error("the tree is mounted still")
	}
}

// TestEndGoesOn: the end of a mount whose monitor is killed meanwhile goes on, and whoever asked for it hears of it.
func TestEndGoesOn(t *testing.T) {
	needs(t)
	m := boxed(t, "--stop-timeout 0")
	m.must(t, `./run -d --stop-timeout 1000 --name slow $REG/host:1 sh -c 'trap "until test -e /go; do sleep 0.05; done; exit 7" TERM; touch /ready; while :; do sleep 0.05; done'`)
	m.must(t, `for i in $(seq 600); do test -e containers/slow/rootfs/ready && exit; sleep 0.1; done; false`)
	end := exec.Command(hull, m.umountArgs([]string{"--stop"})...)
	var said bytes.Buffer
	end.Stdout, end.Stderr = &said, &said
	if err := end.Start(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		m.must(t, `for i in $(seq 600); do grep -q stopping containers/slow/status && exit; test -e error || break; sleep 0.1; done; cat containers/slow/status; false`)
		m.killMonitor(t)
	}
	m.must(t, "touch containers/slow/rootfs/go")
	if err := ends(t, end); err != nil {
		t.Errorf("umount --stop ended with %v: %s", err, &said)
	}
	if m.isMounted() {
		t.Error("the tree is mounted still")
	}
	m.mount(t)
	m.must(t, `test "$(cat containers/slow/exit)" = 7`)
}
