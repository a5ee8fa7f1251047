package verb

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

func TestTerminal(t *testing.T) {
	r := plant(t)
	master, slave, err := pty.Open()
	check(t, err)
	defer slave.Close()
	check(t, pty.Setsize(master, &pty.Winsize{Rows: 31, Cols: 101}))
	before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	check(t, err)
	cmd := r.command("exec-tty", "sh", "-c",
		// No trap for WINCH, and nothing that blocks while a trap may come: dash may miss one just before a read.
		`trap 'exit 42' INT; echo "$TERM $(stty size)"
while test "$(stty size)" = "31 101"; do sleep 0.02; done; echo "resized $(stty size)"
read -r x; echo "got $x"; while :; do sleep 0.02; done`)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	s := newScreen(t, master)
	check(t, cmd.Start())
	s.expect("tests-own 31 101\r\n")
	r.kill() // from here on nobody needs a daemon
	check(t, pty.Setsize(master, &pty.Winsize{Rows: 17, Cols: 60}))
	s.expect("resized 17 60")
	s.send("typed\r")
	s.expect("got typed\r\n")
	s.send("\x03") // goes to the command as a byte, whose own terminal makes a signal of it
	if n := status(t, cmd.Wait()); n != 42 {
		t.Errorf("status %d", n)
	}
	after, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	check(t, err)
	if *after != *before {
		t.Errorf("the terminal was left as\n%+v\nnot\n%+v", after, before)
	}
}

func TestTerminalWithErrorsElsewhere(t *testing.T) {
	r := plant(t)
	master, slave, err := pty.Open()
	check(t, err)
	defer slave.Close()
	var errs bytes.Buffer
	cmd := r.command("exec-tty", "sh", "-c", `test -t 0 && test -t 1 && ! test -t 2 && echo all right; echo apart >&2`)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	s := newScreen(t, master)
	check(t, cmd.Start())
	s.expect("all right\r\n")
	if n := status(t, cmd.Wait()); n != 0 || errs.String() != "apart\n" {
		t.Errorf("%d, %q", n, errs.String())
	}
}

func TestLoneTerminal(t *testing.T) {
	r := plant(t)
	master, slave, err := pty.Open()
	check(t, err)
	defer slave.Close()
	before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	check(t, err)
	cmd := r.command("exec-it", "sh", "-c", `for i in 0 1 2; do test -t $i && echo terminal; done; cat; echo end`)
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, &out, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	s := newScreen(t, master)
	check(t, cmd.Start())
	s.send("a line\n\x04")
	if n := status(t, cmd.Wait()); n != 0 || out.String() != "a line\nend\n" {
		t.Errorf("%d, %q", n, out.String())
	}
	if after, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS); err != nil || *after != *before {
		t.Errorf("the terminal was changed: %v", err)
	}
}

// The death of the helper is a hang-up of the session's terminal, and nothing else to it.
func TestHelperKilled(t *testing.T) {
	r := plant(t)
	mark := filepath.Join(t.TempDir(), "mark")
	master, slave, err := pty.Open()
	check(t, err)
	defer slave.Close()
	cmd := r.command("exec-tty", "sh", "-c", `trap 'echo hung up >`+mark+`; exit' HUP; echo ready; while :; do sleep 0.02; done`)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	s := newScreen(t, master)
	check(t, cmd.Start())
	s.expect("ready")
	check(t, cmd.Process.Kill())
	_ = cmd.Wait()
	eventually(t, "the hang-up", func() bool {
		b, err := os.ReadFile(mark)
		return err == nil && string(b) == "hung up\n"
	})

	cmd = r.command("exec-pipes", "sh", "-c", `echo ready; read -r x; echo "lived on: $x"`)
	out, writing, err := os.Pipe()
	check(t, err)
	defer out.Close()
	reading, in, err := os.Pipe()
	check(t, err)
	defer in.Close()
	cmd.Stdin, cmd.Stdout = reading, writing
	check(t, cmd.Start())
	check(t, errors.Join(reading.Close(), writing.Close()))
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); line != "ready\n" {
		t.Fatal(line, err)
	}
	check(t, cmd.Process.Kill())
	_ = cmd.Wait()
	_, err = in.WriteString("here\n")
	check(t, err)
	if line, err := lines.ReadString('\n'); line != "lived on: here\n" {
		t.Error(line, err)
	}
}

func TestJobControl(t *testing.T) {
	r := plant(t)
	master, slave, err := pty.Open()
	check(t, err)
	defer slave.Close()
	before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	check(t, err)
	cmd := r.command("exec-tty", "sh", "-c", `echo ready; while read -r x; do echo "got $x"; done; echo end`)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	s := newScreen(t, master)
	check(t, cmd.Start())
	s.expect("ready")
	check(t, cmd.Process.Signal(syscall.SIGTSTP))
	eventually(t, "it stops", func() bool { return state(t, cmd.Process.Pid) == "T" })
	if now, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS); err != nil || *now != *before {
		t.Errorf("a stopped helper leaves the terminal raw: %v", err)
	}
	check(t, cmd.Process.Signal(syscall.SIGCONT))
	eventually(t, "the terminal is raw again", func() bool {
		now, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
		return err == nil && now.Lflag&unix.ICANON == 0
	})
	s.send("more\r")
	s.expect("got more")
	s.send("\x04")
	if n := status(t, cmd.Wait()); n != 0 {
		t.Errorf("status %d", n)
	}
	if after, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS); err != nil || *after != *before {
		t.Errorf("the terminal was not restored after all: %v", err)
	}
}
