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

// TestEarly: who waits for a plain command is a program without a runtime. It becomes one with it when there is a signal to
// hand on, and misses none.
func TestEarly(t *testing.T) {
	needs(t)
	m := boxed(t, "")
	out, err := os.Create(m.path("out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(m.path("hull/containers/box/exec/sh"), "-c",
		`trap "echo one" USR1; trap "echo two" USR2; trap "echo over; exit 9" TERM; echo up; while :; do sleep 0.1; done`)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	m.says(t, "up")
	if n := threads(t, cmd.Process.Pid); n != 1 {
		t.Errorf("the helper has %d threads, want 1: it was started as a Go program", n)
	}
	for signal, says := range map[unix.Signal]string{unix.SIGUSR1: "one", unix.SIGUSR2: "two"} {
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		m.says(t, says)
	}
	if n := threads(t, cmd.Process.Pid); n == 1 {
		t.Error("the helper has handed on signals with one thread")
	}
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.says(t, "over")
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 9 {
		t.Errorf("the command's status is %d (%v), want 9", cmd.ProcessState.ExitCode(), err)
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

func threads(t *testing.T, pid int) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}
