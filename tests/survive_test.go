package tests

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hull/cmd/hull/early"
)

const (
	writers      = 50    // containers that write
	writersLines = 10000 // lines of each
	// briefs of them end by themselves, in the midst of it all; the others wait to be told.
	briefs = 10
)

// TestSurvive has fifty containers write, one stop, and some start, somebody attached and something executed, and a pull
// half done, while hull's processes are killed, stopped and replaced: every line is in its log once and in its place,
// every exit status is right, and nobody has noticed anything. In the end both are killed at once.
func TestSurvive(t *testing.T) {
	needs(t)
	m := boxed(t, "")
	m.must(t, `cd containers && for i in $(seq `+fmt.Sprint(writers)+`); do
		until=; test $i -le `+fmt.Sprint(briefs)+` || until='until test -e /go; do sleep 0.1; done;'
		../run -d --name w$i $REG/host:1 sh -c "i=0; while test \$i -lt `+fmt.Sprint(writersLines)+`; do i=\$((i+1)); echo line-\$i; test \$((i%1000)) != 0 || sleep 0.3; done; $until exit $((i%7))" || exit; done`)
	m.must(t, `./run -d --name stopping --stop-timeout 1000 $REG/host:1 sh -c 'trap "until test -e /go; do sleep 0.1; done; exit 7" TERM; while :; do sleep 0.1; done'`)
	t.Cleanup(func() { _, _ = m.shell("echo kill > containers/stopping/ctl") }) // it heeds nothing else
	m.must(t, `./run -dit --name shell $REG/host:1 sh`)
	executed := m.begin(t, "", "containers/box/exec/sh", "-c", "until test -e /go; do sleep 0.1; done; exit 9")
	attached := m.begin(t, "echo begun\n", "containers/shell/attach")
	m.must(t, `{ (echo stop > containers/stopping/ctl) > /dev/null 2>&1 & }; for i in $(seq 600); do grep -q stopping containers/stopping/status && exit; sleep 0.1; done; false`)
	reg.set("big/one", "stop 1000000")
	defer reg.forget()
	defer reg.set("big/one", "")
	m.must(t, `mkdir -p images/$REG/big/one:1 && for i in $(seq 600); do read done total < images/$REG/big/one:1/bytes; test "${done:-0}" -ge 1000000 && exit; sleep 0.1; done; false`)

	for turn := 0; turn < len(blows) || !m.ended(t, briefs); turn++ {
		blow := blows[turn%len(blows)]
		var starting sync.WaitGroup
		starting.Go(func() { // it may be cut off at any point; what it leaves is whole
			_, _ = m.shell(fmt.Sprintf("./run -d --name start%d $REG/host:1 sleep 1000", turn))
		})
		blow.strike(t, m)
		reg.set("big/one", "") // what was half done goes on; it is given up if it is interrupted again and again
		starting.Wait()
		// One that was there for its start only goes when the next daemon finds that this was cut off, maybe just now.
		m.must(t, fmt.Sprintf(`c=containers/start%d; test -d $c || ./run -d --name start%d $REG/host:1 sleep 1000 || exit; echo kill > $c/ctl || ! test -d $c || exit; rm -r $c || ! test -d $c`, turn, turn))
		if t.Failed() {
			t.Fatalf("after: %s", blow.name)
		}
	}
	m.must(t, "touch containers/box/rootfs/go containers/stopping/rootfs/go")
	if code := executed.wait(t); code != 9 {
		t.Errorf("what was executed ended with %d: %s", code, executed.out)
	}
	_, _ = io.WriteString(attached.in, "echo still-$((1+1)); exit 5\n")
	if code := attached.wait(t); code != 5 || !strings.Contains(attached.out.String(), "still-2") {
		t.Errorf("who was attached left with %d: %q", code, attached.out)
	}
	m.must(t, `for i in $(seq 600); do test "$(cat containers/stopping/exit)" = 7 && exit; sleep 0.1; done; cat containers/stopping/status; false`)
	m.must(t, `images/$REG/big/one:1/wait && test "$(cat images/$REG/big/one:1/status)" = ready`)

	m.killAll()
	m.mount(t)
	m.must(t, fmt.Sprintf("for i in $(seq %d %d); do touch containers/w$i/rootfs/go; done", briefs+1, writers))
	m.must(t, fmt.Sprintf(`for i in $(seq %d); do c=containers/w$i; for n in $(seq 600); do grep -q exited $c/status && break; sleep 0.1; done
		test "$(cat $c/exit)" = $((i%%7)) && seq -f line-%%g %d | cmp - $c/logs || { echo $c: $(cat $c/status $c/exit $c/error); exit 1; }; done`, writers, writersLines))
	m.must(t, `echo kill > containers/box/ctl; rm -r containers/*`)
}

// blow is something that befalls hull.
type blow struct {
	name   string
	strike func(t *testing.T, m *mounted)
}

var blows = []blow{
	{"the daemon killed", func(t *testing.T, m *mounted) { m.signal(t, "daemon", unix.SIGKILL); m.back(t) }},
	{"the monitor killed", func(t *testing.T, m *mounted) { m.killMonitor(t); m.back(t) }},
	{"the daemon stopped for a while", func(t *testing.T, m *mounted) { m.pauseRole(t, "daemon") }},
	{"the monitor stopped for a while", func(t *testing.T, m *mounted) { m.pauseRole(t, "monitor") }},
	{"another program in its place", func(t *testing.T, m *mounted) { m.upgrade(t) }},
	{"the monitor killed, whose children they are not", func(t *testing.T, m *mounted) { m.killMonitor(t); m.back(t) }},
}

// signal sends a signal to hull's process of a role, which is there or comes.
func (m *mounted) signal(t *testing.T, role string, s unix.Signal) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if pids := m.role(role); len(pids) > 0 && unix.Kill(pids[0], s) == nil {
			return
		}
	}
	t.Fatalf("no %s runs", role)
}

// pauseRole stops a process for a while, in which the others go on: a second is what a test can afford that runs with
// every change, half a minute what HULL_TEST_FULL=1 asks for.
func (m *mounted) pauseRole(t *testing.T, role string) {
	t.Helper()
	m.signal(t, role, unix.SIGSTOP)
	if os.Getenv("HULL_TEST_FULL") == "1" {
		time.Sleep(29 * time.Second)
	}
	time.Sleep(time.Second)
	m.signal(t, role, unix.SIGCONT)
}

// otherVersion is that of the other program.
const otherVersion = "0.2.0-other"

// otherHull is the same hull with another version; where there is no compiler, the same with other bytes behind it.
func (m *mounted) otherHull(t *testing.T) string {
	t.Helper()
	path := m.path("hull-other")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if _, err := exec.LookPath("go"); err == nil {
		build := exec.Command("go", "build", "-ldflags", early.LinkerFlag+" -X main.version="+otherVersion, "-o", path, "hull/cmd/hull")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		output(t, build)
		return path
	}
	program, err := os.ReadFile(hull)
	if err == nil {
		err = os.WriteFile(path, append(program, "other"...), 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// upgrade puts the other hull in the place of the one that runs, or that one again in the place of the other.
func (m *mounted) upgrade(t *testing.T) {
	t.Helper()
	next := m.otherHull(t)
	if m.runs(t, "monitor", next) {
		next = hull
	}
	if out, err := exec.Command(next, "upgrade", m.path("hull")).CombinedOutput(); err != nil {
		t.Errorf("upgrade: %v: %s", err, out)
	}
	for _, role := range []string{"monitor", "daemon"} {
		if !m.runs(t, role, next) {
			t.Errorf("the %s does not run %s after an upgrade to it", role, next)
		}
	}
}

// runs tells whether hull's process of a role runs a program.
func (m *mounted) runs(t *testing.T, role, program string) bool {
	t.Helper()
	want, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range m.role(role) {
		if got, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid)); err == nil {
			return os.SameFile(got, want)
		}
	}
	t.Fatalf("no %s runs", role)
	return false
}

// back waits until the mount answers again, which it does by itself.
func (m *mounted) back(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if out, err := m.shell("ls containers"); err == nil && strings.Contains(out, "box") {
			return
		}
	}
	t.Fatal("the mount does not come back")
}

// ended tells whether the first n writers have ended.
func (m *mounted) ended(t *testing.T, n int) bool {
	t.Helper()
	_, err := m.shell(fmt.Sprintf("for i in $(seq %d); do grep -q exited containers/w$i/status || exit 1; done", n))
	return err == nil
}

// beside is a command of the tree that goes on beside the test.
type beside struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bytes.Buffer
}

func (m *mounted) begin(t *testing.T, input, path string, args ...string) *beside {
	t.Helper()
	b := &beside{cmd: exec.Command(m.path("hull/"+path), args...), out: &bytes.Buffer{}}
	b.cmd.Dir = "/"
	b.cmd.Stdout, b.cmd.Stderr = b.out, b.out
	var err error
	if b.in, err = b.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(b.in, input); err != nil {
		t.Fatal(err)
	}
	dir := path[:strings.LastIndex(path, "/")]
	dir = strings.TrimSuffix(dir, "/exec")
	m.must(t, "for i in $(seq 600); do grep -q running "+dir+"/sessions/*/status && exit; sleep 0.1; done; false")
	return b
}

// wait waits for its end and gives its exit status.
func (b *beside) wait(t *testing.T) int {
	t.Helper()
	watch := time.AfterFunc(2*patience, func() { _ = b.cmd.Process.Kill() })
	defer watch.Stop()
	err := b.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Error(err)
	}
	return b.cmd.ProcessState.ExitCode()
}
