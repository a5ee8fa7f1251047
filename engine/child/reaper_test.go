package child

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"hull/tests/need"
)

// underReaper runs a command under the reaper, which is no process 1 here and does
// what it does all the same.
func underReaper(t *testing.T, path string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	s := &Spawner{}
	t.Cleanup(func() { s.Close() })
	f, err := s.Reaper()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
	cmd.Args = append([]string{"init", path}, args...)
	cmd.Env = []string{"A=1", "PATH=/usr/bin:/bin"}
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.ExtraFiles = []*os.File{f}
	cmd.Path = "/proc/self/fd/3" // where the child has it
	return cmd, &out
}

func TestReaperGivesTheExitOn(t *testing.T) {
	for _, tt := range []struct {
		script string
		code   int
		out    string
	}{
		{"exit 0", 0, ""},
		{"echo $0 $1 $A; exit 7", 7, "name arg 1\n"},
		{"kill -TERM $$", 128 + 15, ""},
		{"kill -KILL $$", 128 + 9, ""},
		{"exit 255", 255, ""},
	} {
		cmd, out := underReaper(t, "/bin/sh", "sh", "-c", tt.script, "name", "arg")
		if err := cmd.Run(); cmd.ProcessState.ExitCode() != tt.code || out.String() != tt.out {
			t.Errorf("%s: %v, exit %d, %q", tt.script, err, cmd.ProcessState.ExitCode(), out)
		}
	}
}

func TestReaperSaysWhatCannotBeExecuted(t *testing.T) {
	for path, code := range map[string]int{"/no/such/command": 127, "/etc/passwd": 126, "/etc": 126} {
		cmd, out := underReaper(t, path, "x")
		_ = cmd.Run()
		if cmd.ProcessState.ExitCode() != code || out.String() != "init: cannot execute "+path+"\n" {
			t.Errorf("%s: exit %d, %q", path, cmd.ProcessState.ExitCode(), out)
		}
	}
}

// TestReaperPassesSignalsOn sends each signal to the reaper once its child has
// said that it listens.
func TestReaperPassesSignalsOn(t *testing.T) {
	for _, sig := range []syscall.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGUSR1, unix.SIGTERM, unix.SIGWINCH} {
		cmd, _ := underReaper(t, "/bin/sh", "sh", "-c", "trap 'exit 42' "+strconv.Itoa(int(sig))+"; echo ready; while :; do sleep 0.01; done")
		cmd.Stdout = nil
		r, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(make([]byte, 6)); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 42 {
			t.Errorf("%v: exit %d", sig, code)
		}
	}
}

// TestReaperReaps has a grandchild become the reaper's own, and end.
func TestReaperReaps(t *testing.T) {
	need.Root(t, "it makes a pid namespace")
	cmd, out := underReaper(t, "/bin/sh", "sh", "-c", `
		(sh -c 'echo $$ > "$0"' "$0" &)
		until orphan=$(cat "$0" 2>/dev/null) && test "$orphan"; do sleep 0.01; done
		while kill -0 $orphan 2>/dev/null; do sleep 0.01; done
		echo gone`, t.TempDir()+"/orphan")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID} // process 1 gets the orphans
	if err := cmd.Run(); err != nil || out.String() != "gone\n" {
		t.Errorf("%v, %q", err, out)
	}
}
