package tests

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// executions are docker exec's flags and commands, as hull's enter must take them.
// What docker refuses too has hull's status: of a command that is not there docker's
// own has been 126 or 127, by its version, and its sentence on either stream.
var executions = []struct {
	name    string
	args    []string
	refused int
}{
	{"words", []string{"sh", "-c", `for a; do echo "[$a]"; done`, "x", "a", "b c", "", "*", "$HOME", `"`, "'", `\`}, 0},
	{"environment", []string{"sh", "-c", `echo "$A|$B|$C|$PATH"`}, 0},
	{"environment changed", []string{"-e", "A=3", "-e", "C=x y", "sh", "-c", `echo "$A|$B|$C"`}, 0},
	{"environment emptied", []string{"-e", "A=", "sh", "-c", `echo "$A|${A+set}"`}, 0},
	{"environment inherited", []string{"-e", "FROM_TESTS", "sh", "-c", `echo "$FROM_TESTS"`}, 0},
	{"environment of a file", []string{"--env-file", "ENVFILE", "sh", "-c", `echo "$A|$D"`}, 0},
	{"directory", []string{"sh", "-c", "pwd"}, 0},
	{"directory given", []string{"-w", "/etc", "sh", "-c", "pwd"}, 0},
	{"directory missing", []string{"--workdir=/not/there", "true"}, 125},
	{"user", []string{"sh", "-c", "id -u; id -g; echo $HOME"}, 0},
	{"user root", []string{"-u", "root", "sh", "-c", "id -u; id -g; echo $HOME"}, 0},
	{"user 0", []string{"-u", "0", "sh", "-c", "id -u; id -g"}, 0},
	{"user by number", []string{"-u", "1000", "sh", "-c", "id -u; id -g; echo $HOME"}, 0},
	{"user and group", []string{"-u", "1000:1001", "sh", "-c", "id -u; id -g"}, 0},
	{"user unknown", []string{"-u", "nobody-has-this-name", "true"}, 125},
	{"umask", []string{"sh", "-c", "umask"}, 0},
	{"input not asked for", []string{"cat"}, 0},
	{"input", []string{"-i", "cat"}, 0},
	{"input with switches together", []string{"-iu", "0", "sh", "-c", "cat; id -u"}, 0},
	{"streams", []string{"sh", "-c", "echo out; echo err >&2"}, 0},
	{"no terminal", []string{"sh", "-c", "test -t 0 || test -t 1 || test -t 2 || echo none"}, 0},
	{"terminal without one", []string{"-it", "true"}, 125},
	{"status", []string{"sh", "-c", "exit 7"}, 0},
	{"status of a signal", []string{"sh", "-c", "kill -9 $$"}, 0},
	{"no such command", []string{"nosuch"}, 127},
	{"no such path", []string{"/not/there/nosuch"}, 127},
	{"not executable", []string{"/etc/passwd"}, 126},
	{"a directory", []string{"/etc"}, 126},
	{"in the background", []string{"-d", "sh", "-c", "echo unseen"}, 0},
	{"nothing", nil, 125},
	{"no such flag", []string{"--nonsense", "true"}, 125},
	{"flags end", []string{"--", "echo", "-e"}, 0},
	{"flags end at the command", []string{"echo", "-u", "-e", "--", "x"}, 0},
	{"process 1", []string{"sh", "-c", `tr "\0" " " < /proc/1/cmdline`}, 0},
}

// TestEnterAsDocker executes the same in the same container of docker's and of hull's.
func TestEnterAsDocker(t *testing.T) {
	needs(t)
	client := docker(t)
	m := boxed(t, "-e A=1 -e 'B=two words' -w /tmp")
	id := strings.TrimSpace(client("run", "-d", "--network", "none", "-e", "A=1", "-e", "B=two words", "-w", "/tmp", addr+"/host:1", "sleep", "1000"))
	t.Cleanup(func() { client("rm", "-f", id) })
	variables := m.path("variables")
	if err := os.WriteFile(variables, []byte("# a comment\nA=file\n\nD=d d\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("FROM_TESTS", "from here")
	for _, x := range executions {
		t.Run(x.name, func(t *testing.T) {
			args := append([]string(nil), x.args...)
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "ENVFILE", variables)
			}
			got, status := executed(t, exec.Command(m.path("hull/containers/box/enter"), args...))
			want, theirs := executed(t, dockerd.client(dockerClient(t), dockerArgs(id, args)...))
			if x.refused != 0 {
				want, theirs = `"", errors true`, min(theirs, 1)*x.refused
			}
			if got != want || status != theirs {
				t.Errorf("hull: %s, status %d\nwant: %s, status %d", got, status, want, theirs)
			}
		})
	}
}

// dockerArgs puts a container's ID before the command.
func dockerArgs(id string, args []string) []string {
	at := 0
	for at < len(args) && strings.HasPrefix(args[at], "-") {
		if args[at] == "--" {
			at++
			break
		}
		if strings.HasPrefix(args[at], "--") && strings.Contains(args[at], "=") || !strings.ContainsAny(args[at][len(args[at])-1:], "euw") && args[at] != "--env-file" {
			at++
			continue
		}
		at += 2
	}
	return append(append(append([]string{"exec"}, args[:at]...), id), args[at:]...)
}

// executed runs a command with something to read, and tells what came of it: its
// output, whether it said something else, and its status.
func executed(t *testing.T, cmd *exec.Cmd) (said string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("input\n"), &out, &errs
	err := cmd.Run()
	var x *exec.ExitError
	if err != nil && !errors.As(err, &x) {
		t.Fatal(err)
	}
	return fmt.Sprintf("%q, errors %v", out.String(), errs.Len() > 0), cmd.ProcessState.ExitCode()
}
