package tests

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A test run that is killed, or that its own time limit ends, cleans up nothing. Its guard does: a process that
// outlives it, is told of every place where hull gets mounted, and ends what is left there when the run is gone.
type guard struct {
	mu    sync.Mutex
	told  map[string]bool
	lines io.WriteCloser
	cmd   *exec.Cmd
}

// guardVar makes this binary the guard of the run that has the other end of its standard input.
const guardVar = "HULL_TESTS_GUARD"

// dismissed is what a run says to its guard when it has cleaned up by itself.
const dismissed = "."

// theGuard is this run's.
var theGuard *guard

// newGuard starts the guard of a run whose own directory, with the binary under test, is dir.
func newGuard(dir string) (*guard, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), guardVar+"="+dir, "HULL_TEST_BINARY="+hull)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a ctrl-C is not for it
	lines, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &guard{told: map[string]bool{}, lines: lines, cmd: cmd}, nil
}

// tell has the guard look after what is mounted below base.
func (g *guard) tell(base string) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.told[base] {
		g.told[base] = true
		_, _ = io.WriteString(g.lines, base+"\n")
	}
}

// dismiss ends the guard.
func (g *guard) dismiss() error {
	if _, err := io.WriteString(g.lines, dismissed+"\n"); err != nil {
		return err
	}
	_ = g.lines.Close()
	return g.cmd.Wait()
}

// stand is the guard's whole life.
func stand(lines io.Reader, dir string) {
	hull = os.Getenv("HULL_TEST_BINARY")
	var bases []string
	for s := bufio.NewScanner(lines); s.Scan(); {
		if s.Text() == dismissed {
			return
		}
		bases = append(bases, s.Text())
	}
	for _, base := range bases {
		if _, err := os.Lstat(base); err == nil {
			(&mounted{base: base}).demolish()
		}
	}
	_ = os.RemoveAll(dir)
}

// demolish ends what a killed run has mounted, whatever state it is in.
func (m *mounted) demolish() {
	stop := exec.Command(hull, m.umountArgs([]string{"--stop"})...)
	stop.WaitDelay = time.Second
	late := time.AfterFunc(patience, func() { _ = stop.Process.Kill() })
	if m.isMounted() && stop.Start() == nil {
		_ = stop.Wait()
	}
	late.Stop()
	m.killAll()
	for _, g := range m.groups() {
		for deadline := time.Now().Add(patience); !emptied(g) && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond)
		}
	}
	for _, at := range mountsBelow(m.base) {
		_ = unix.Unmount(at, unix.MNT_DETACH)
	}
	if len(mountsBelow(m.base)) == 0 {
		_ = os.RemoveAll(m.base)
	}
}

// killAll kills monitor and daemon at once: each would start the other again; and a systemd that would start both.
func (m *mounted) killAll() {
	for {
		all := slices.Concat(m.role("--system"), m.role("interim"), m.role("monitor"), m.role("daemon"))
		if len(all) == 0 {
			return
		}
		for _, sig := range []unix.Signal{unix.SIGSTOP, unix.SIGKILL} {
			for _, pid := range all {
				_ = unix.Kill(pid, sig)
			}
		}
	}
}

// emptied kills what is in a control group, and removes it and those in it. It says whether it is gone.
func emptied(group string) bool {
	inside, _ := filepath.Glob(group + "/*/cgroup.procs")
	for _, procs := range inside {
		emptied(filepath.Dir(procs))
	}
	_ = os.WriteFile(group+"/freezer.state", []byte("THAWED"), 0)
	_ = os.WriteFile(group+"/cgroup.freeze", []byte("0"), 0)
	b, _ := os.ReadFile(group + "/cgroup.procs")
	for _, word := range strings.Fields(string(b)) {
		if pid, err := strconv.Atoi(word); err == nil && pid > 1 {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
	_ = unix.Rmdir(group)
	_, err := os.Lstat(group)
	return os.IsNotExist(err)
}

// wardVar makes TestGuard the run that gets killed.
const wardVar = "HULL_TESTS_WARD"

// TestGuard kills a run of tests that has a container, and finds nothing of it.
func TestGuard(t *testing.T) {
	needs(t)
	if base := os.Getenv(wardVar); base != "" {
		m := &mounted{base: base}
		if out, err := exec.Command(hull, m.mountArgs(nil)...).CombinedOutput(); err != nil {
			t.Fatalf("mount: %v: %s", err, out)
		}
		m.must(t, "mkdir -p $I/host:1 && $I/host:1/wait && ./run -d --name box $REG/host:1 sleep 1000 && echo pause > containers/box/ctl")
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	}
	base, err := os.MkdirTemp("", "hull-ward-")
	if err != nil {
		t.Fatal(err)
	}
	m := &mounted{base: base}
	cmd := exec.Command("/proc/self/exe", "-test.run", "^TestGuard$")
	cmd.Env = append(os.Environ(), wardVar+"="+base, "HULL_TEST_BINARY="+hull)
	out, err := cmd.CombinedOutput()
	if state, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !state.Signaled() {
		m.demolish()
		t.Fatalf("the run that was to be killed: %v: %s", err, out)
	}
	for deadline := time.Now().Add(2 * patience); ; time.Sleep(20 * time.Millisecond) {
		_, err := os.Lstat(base)
		left := append(m.groups(), mountsBelow(base)...)
		if os.IsNotExist(err) && len(left)+len(m.role("monitor"))+len(m.role("daemon")) == 0 {
			return
		}
		if time.Now().After(deadline) {
			m.demolish()
			t.Fatalf("left behind: %v %v, monitors %v, daemons %v", err, left, m.role("monitor"), m.role("daemon"))
		}
	}
}
