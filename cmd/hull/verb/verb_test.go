package verb

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

func TestExecPipes(t *testing.T) {
	r := plant(t)
	in := make([]byte, 1<<20)
	for i := range in {
		in[i] = byte(i ^ i>>8)
	}
	cmd := r.command("exec-cat", "sh", "-c", "cat; echo oops >&2; exit 7")
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &errs
	if n := status(t, cmd.Run()); n != 7 {
		t.Errorf("status %d", n)
	}
	if !bytes.Equal(out.Bytes(), in) || errs.String() != "oops\n" {
		t.Errorf("%d bytes of output, %q", out.Len(), errs.String())
	}
}

func TestExecStatus(t *testing.T) {
	r := plant(t)
	for _, c := range []struct {
		args []string
		want int
		says string
	}{
		{[]string{"true"}, 0, ""},
		{[]string{"false"}, 1, ""},
		{[]string{"sh", "-c", "exit 255"}, 255, ""},
		{[]string{"sh", "-c", "kill -9 $$"}, 137, ""},
		{[]string{"/nonexistent/command"}, 127, "hull: there is no command /nonexistent/command\n"},
	} {
		cmd := r.command("exec-it", c.args...)
		var errs strings.Builder
		cmd.Stderr = &errs
		if n := status(t, cmd.Run()); n != c.want || errs.String() != c.says {
			t.Errorf("%v: %d, %q", c.args, n, errs.String())
		}
	}
}

func TestNotAVerb(t *testing.T) {
	r := plant(t)
	plain := filepath.Join(t.TempDir(), "plain")
	check(t, os.WriteFile(plain, nil, 0o755))
	for path, want := range map[string]int{
		filepath.Join(r.at, "absent"):           127,
		plain:                                   statusFailed,
		filepath.Join(r.at, "absent", "deeper"): 127,
	} {
		out, err := exec.CommandContext(t.Context(), r.binary, "verb", path).CombinedOutput()
		if n := status(t, err); n != want || !strings.HasPrefix(string(out), "hull: "+path) {
			t.Errorf("%s: %d, %q", path, n, out)
		}
	}
}

func TestSentence(t *testing.T) {
	r := plant(t)
	out, err := r.command("wait-fails").CombinedOutput()
	if n := status(t, err); n != 125 || string(out) != "hull: it failed for a reason [31m.\n" {
		t.Errorf("%d, %q", n, out)
	}
}

func TestSignals(t *testing.T) {
	for _, daemon := range []bool{true, false} {
		r := plant(t)
		cmd := r.command("exec-it", "sh", "-c", `trap 'echo hangs up; exit 3' HUP; echo ready; while :; do sleep 0.02; done`)
		out, err := cmd.StdoutPipe()
		check(t, err)
		check(t, cmd.Start())
		lines := bufio.NewReader(out)
		if line, err := lines.ReadString('\n'); line != "ready\n" {
			t.Fatal(line, err)
		}
		eventually(t, "the helper has its answer", func() bool { return !r.opened(cmd.Process.Pid) })
		if !daemon {
			r.kill()
		}
		check(t, cmd.Process.Signal(syscall.SIGHUP))
		rest, err := io.ReadAll(lines)
		check(t, err)
		if n := status(t, cmd.Wait()); n != 3 || string(rest) != "hangs up\n" {
			t.Errorf("daemon %v: %d, %q", daemon, n, rest)
		}
	}
}

func TestSignalWhileWaiting(t *testing.T) {
	r := plant(t)
	cmd := r.command("wait-long")
	check(t, cmd.Start())
	// Until the helper listens for it, the signal would end it as any program.
	r.untilAsked(t, cmd.Process.Pid)
	check(t, cmd.Process.Signal(syscall.SIGINT))
	if n := status(t, cmd.Wait()); n != 130 {
		t.Errorf("status %d", n)
	}
}

// untilAsked waits until the helper catches SIGINT.
func (r *tree) untilAsked(t *testing.T, pid int) {
	t.Helper()
	eventually(t, "the helper listens for signals", func() bool {
		b, err := os.ReadFile("/proc/" + itoa(pid) + "/status")
		check(t, err)
		_, rest, _ := strings.Cut(string(b), "SigCgt:")
		fields := strings.Fields(rest)
		// Go's runtime catches SIGINT in any case; SIGTSTP only if it was asked to.
		return len(fields) > 0 && caught(fields[0], syscall.SIGTSTP)
	})
}

func TestRunFollowsLog(t *testing.T) {
	r := plant(t)
	cmd := r.command("run", "-i", "image")
	in, err := cmd.StdinPipe()
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	writing, reading := <-r.logs, <-r.stdin
	lines := bufio.NewReader(out)
	for _, text := range []string{"first\n", "second\n"} {
		_, err := writing.WriteString(text)
		check(t, err)
		if line, err := lines.ReadString('\n'); line != text {
			t.Fatal(line, err)
		}
	}
	r.kill()
	_, err = io.WriteString(in, "typed")
	check(t, errors.Join(err, in.Close()))
	if b, err := io.ReadAll(reading); string(b) != "typed" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	_, err = writing.WriteString("at the very end")
	check(t, errors.Join(err, writing.Close()))
	rest, err := io.ReadAll(lines)
	check(t, err)
	if n := status(t, cmd.Wait()); n != 9 || string(rest) != "at the very end" {
		t.Errorf("%d, %q", n, rest)
	}
}

func TestRunDetaches(t *testing.T) {
	r := plant(t)
	master, slave, err := pty.Open()
	check(t, err)
	defer slave.Close()
	cmd := r.command("run", "-it", "image")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	s := newScreen(t, master)
	check(t, cmd.Start())
	writing, inner := <-r.logs, <-r.stdin
	defer inner.Close()
	_, err = writing.WriteString("prompt")
	check(t, err)
	s.expect("prompt")
	s.send("a\x10b\r")
	keys := make([]byte, 4)
	if n, err := io.ReadFull(inner, keys); string(keys) != "a\x10b\r" {
		t.Errorf("%q, %v", keys[:n], err)
	}
	s.send("\x10\x11")
	if n := status(t, cmd.Wait()); n != 0 {
		t.Errorf("status %d", n)
	}
	check(t, writing.Close())
}

func TestRunDetached(t *testing.T) {
	r := plant(t)
	t.Setenv("INHERITED", "from here")
	out, err := r.command("run", "-dt", "--rm", "-eA=1", "-e", "INHERITED", "image", "-x", "--rm").Output()
	want := "detach=true tty=true auto_remove=true env=A=1 env=INHERITED=from here image -x --rm\n"
	if n := status(t, err); n != 0 || string(out) != want {
		t.Errorf("%d, %q", n, out)
	}
	t.Setenv("DOCKER_DEFAULT_PLATFORM", "linux/arm64")
	out, err = r.command("run", "-d", "image").Output()
	if n := status(t, err); n != 0 || string(out) != "detach=true platform=linux/arm64 image\n" {
		t.Errorf("%d, %q", n, out)
	}
	both, err := r.command("run", "-it", "image").CombinedOutput()
	if n := status(t, err); n != 125 || !strings.Contains(string(both), "the input device is not a TTY") {
		t.Errorf("%d, %q", n, both)
	}
	both, err = r.command("run", "--nonsense", "image").CombinedOutput()
	if n := status(t, err); n != 125 || string(both) != "hull: there is no flag --nonsense; see --help\n" {
		t.Errorf("%d, %q", n, both)
	}
}

// An input that breaks is not one that ends.
func TestInputBreaks(t *testing.T) {
	r := plant(t)
	cmd := r.command("load")
	cmd.Stdin = strings.NewReader("an archive")
	if out, err := cmd.CombinedOutput(); status(t, err) != 0 || string(out) != "loaded 10\n" {
		t.Errorf("%v, %q", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	check(t, err)
	far, err := l.Accept()
	check(t, err)
	input, err := near.(*net.TCPConn).File()
	check(t, err)
	cmd = r.command("load")
	cmd.Stdin = input
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	check(t, cmd.Start())
	_, err = far.Write([]byte("half an archive"))
	check(t, err)
	check(t, far.(*net.TCPConn).SetLinger(0)) // so that it is reset
	check(t, far.Close())
	if n := status(t, cmd.Wait()); n != 1 || said.String() != "hull: the input cannot be read: connection reset by peer\n" {
		t.Errorf("%d, %q", n, said.String())
	}
	check(t, errors.Join(input.Close(), near.Close()))
}

// What executes no command fails as other programs do.
func TestFailing(t *testing.T) {
	for path, want := range map[string]int{
		"/hull/run": 125, "/hull/pull": 1, "/hull/prune": 1, "/hull/load": 1,
		"/hull/images/redis:7/run": 125, "/hull/images/redis:7/save": 1, "/hull/images/redis:7/wait": 1, "/hull/images/ghcr.io/a/b:1/wait": 1,
		"/hull/containers/web/wait": 125, "/hull/images/redis:7/containers/web/wait": 125, "/hull/containers/web/follow": 1,
		"/hull/containers/web/export": 1, "/hull/containers/web/enter": 125, "/hull/containers/web/attach": 125,
		"/hull/containers/web/exec/sh": 125, "/hull/containers/web/exec/pull": 125, "/hull/containers/web/exec/wait": 125,
		"/hull/registries/ghcr.io/login": 1, "/hull/registries/ghcr.io/search": 1, "/hull/registries/ghcr.io/tags": 1, "": 125,
	} {
		h := &helper{path: path}
		if got := h.failing(); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}

func TestPull(t *testing.T) {
	r := plant(t)
	out, err := r.command("pull", "-q", "redis").Output()
	if n := status(t, err); n != 0 || string(out) != "0123456789ab: Pulling\n0123456789ab: Pull complete\npulled redis\n" {
		t.Errorf("%d, %q", n, out)
	}
}

// A daemon that comes back while the helper waits is asked again, by those verbs that change nothing.
func TestDaemonComesBack(t *testing.T) {
	r := plant(t)
	r.kill()
	cmd := r.command("pull", "redis")
	var out strings.Builder
	cmd.Stdout = &out
	check(t, cmd.Start())
	r.begin() // before it asks or after
	if n := status(t, cmd.Wait()); n != 0 || !strings.HasSuffix(out.String(), "pulled redis\n") {
		t.Errorf("%d, %q", n, out.String())
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patient); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}
