package tests

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hull/cmd/hull/early"
)

// TestBuilds: what users build begins as what is tested here.
func TestBuilds(t *testing.T) {
	for _, name := range []string{"../Makefile", "vm/run"} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if want := "-s -w " + early.LinkerFlag + "'"; !strings.Contains(string(b), want) {
			t.Errorf("%s does not link hull with %q", name, want)
		}
	}
}

// TestEarly: who waits for a plain command is a program without a runtime. It hands signals on, also without a daemon, and
// misses none.
func TestEarly(t *testing.T) {
	needs(t)
	m := boxed(t, "")
	out, err := os.Create(m.path("out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(m.path("hull/containers/box/exec/sh"), "-c",
		`trap "" INT; trap "echo one" USR1; trap "echo two" USR2; trap "echo three" HUP; echo up; while :; do sleep 0.1; done`)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	send := func(s unix.Signal) {
		t.Helper()
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	m.says(t, "up")
	send(unix.SIGUSR1)
	m.says(t, "one")
	for _, pid := range m.role("daemon") {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	// The next one does not know this helper.
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if out, err := m.shell("cat containers/box/status"); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the daemon does not come back: %s", out)
		}
	}
	send(unix.SIGUSR2)
	m.says(t, "two")
	send(unix.SIGTSTP)
	state(t, cmd.Process.Pid, "T")
	send(unix.SIGCONT)
	state(t, cmd.Process.Pid, "S")
	send(unix.SIGHUP)
	m.says(t, "three")
	if n := threads(t, cmd.Process.Pid); n != 1 {
		t.Errorf("the helper has %d threads, want 1: it was started as a Go program", n)
	}
	// Whatever the command makes of it, the third ends the helper. Two at once may be one.
	watch := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer watch.Stop()
	over := make(chan error, 1)
	go func() { over <- cmd.Wait() }()
	for done := false; !done; {
		_ = cmd.Process.Signal(unix.SIGINT)
		select {
		case err = <-over:
			done = true
		case <-time.After(20 * time.Millisecond):
		}
	}
	if cmd.ProcessState.ExitCode() != 130 {
		t.Errorf("the helper's status is %d (%v), want 130", cmd.ProcessState.ExitCode(), err)
	}
}

// state waits until a process is in a state of /proc/PID/stat.
func state(t *testing.T, pid int, want string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		if strings.HasPrefix(rest, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the helper is not in state %s: %s", want, b)
		}
	}
}

// TestEarlyWaits: who waits for a container is a program without a runtime too, whatever its terminal. It goes on when the
// daemon is killed, and a signal ends it.
func TestEarlyWaits(t *testing.T) {
	needs(t)
	m := boxed(t, "")
	begin := func() *exec.Cmd {
		t.Helper()
		cmd := exec.Command(m.path("hull/containers/box/wait"))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		return cmd
	}
	ends := func(cmd *exec.Cmd, code int) {
		t.Helper()
		watch := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer watch.Stop()
		err := cmd.Wait()
		if got := cmd.ProcessState.ExitCode(); got != code {
			t.Errorf("the exit status is %d (%v), want %d", got, err, code)
		}
	}
	first, interrupted, last := begin(), begin(), begin()
	m.connected(t, 3)
	for _, cmd := range []*exec.Cmd{first, interrupted, last} {
		heeds(t, cmd.Process.Pid)
		if n := threads(t, cmd.Process.Pid); n != 1 {
			t.Errorf("a helper that waits has %d threads, want 1", n)
		}
	}
	if err := interrupted.Process.Signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	ends(interrupted, 130)
	for _, pid := range m.role("daemon") {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	m.connected(t, 2) // to the next one
	if err := last.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ends(last, 143)
	m.must(t, "echo kill > containers/box/ctl")
	ends(first, 137)
	over := begin() // for what is over
	ends(over, 137)
}

// connected waits until the daemon serves so many sessions.
func (m *mounted) connected(t *testing.T, want int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		n := 0
		for _, pid := range m.role("daemon") {
			b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/net/unix")
			if err != nil { // it has just been killed
				continue
			}
			for line := range strings.Lines(string(b)) {
				f := strings.Fields(line) // number, references, protocol, flags, type, state, inode, path
				if len(f) == 8 && f[5] == "03" && f[7] == m.path("run/session.sock") {
					n++
				}
			}
		}
		if n == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the daemon serves %d sessions, want %d", n, want)
		}
	}
}

// TestEarlyLeaves: what is not plain is Go's, with all that was done before.
func TestEarlyLeaves(t *testing.T) {
	needs(t)
	m := boxed(t, "")
	for _, c := range []struct{ line, want string }{
		{`containers/box/exec/true; echo $?`, "0\n"},
		{`containers/box/exec/sh -c "exit 3"; echo $?`, "3\n"},
		{`containers/box/exec/sh -c 'kill -9 $$'; echo $?`, "137\n"},
		{`containers/box/exec/nosuch; echo $?`, "127\n"},
		{`containers/box/exec/echo $(seq 2000) | wc -w`, "2000\n"}, // longer than there is room for
		{`containers/box/exec/echo ""  "a b" | od -An -c | tr -d " \n"`, `ab\n`},
		{`containers/box/exec/cat < /dev/zero | head -c 5 | wc -c`, "5\n"}, // of a device there is a copy
		{`containers/box/exec/cat < containers/box/id | wc -l`, "1\n"},     // and of a file of the tree
		{`containers/box/exec/echo closed <&-`, "closed\n"},                // what is closed is given as nothing
		{`containers/box/enter echo entered`, "entered\n"},                 // another verb, on the ticket that was given
		{`containers/box/enter -w /etc sh -c 'pwd; exit 4'; echo $?`, "/etc\n4\n"},
		{`(trap "" TERM; containers/box/exec/sh -c 'kill -TERM $$; echo there' ); echo $?`, "143\n"},
		{`cd containers/box && exec/echo relative`, "relative\n"},
		{
			`echo pause > containers/box/ctl; containers/box/exec/true 2>&1; echo $?; echo unpause > containers/box/ctl`,
			"hull: The container box is paused; unpause it first.\n125\n",
		},
	} {
		out, err := m.shell(c.line)
		if err != nil || !strings.HasSuffix(out, c.want) {
			t.Errorf("%s: %q, %v; want %q", c.line, out, err, c.want)
		}
	}
}

// says waits until the file out holds a line.
func (m *mounted) says(t *testing.T, line string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		b, err := os.ReadFile(m.path("out"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains("\n"+string(b), "\n"+line+"\n") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q has not come: %q", line, b)
		}
	}
}

// heeds waits until a helper has blocked signals: before, they end it as they would any program.
func heeds(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(b), "SigBlk:\t0000000000000000\n") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the helper blocks no signals")
		}
	}
}

func threads(t *testing.T, pid int) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}
