package fs_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hull/fs"
)

// web makes the running container web.
func web(t *testing.T) *mounted {
	t.Helper()
	m := mount(t, "redis:7")
	m.ok("mkdir images/redis:7 images/redis:7/containers/web")
	return m
}

func TestCtlAnswersInWrite(t *testing.T) {
	m := web(t)
	for line, want := range map[string]syscall.Errno{
		"frobnicate\n": syscall.EINVAL, "start\n": syscall.EBUSY, "stop soon\n": syscall.EINVAL, "kill NOSUCH\n": syscall.EINVAL,
		"stop 1 2\n": syscall.EINVAL, "rename .x\n": syscall.EPERM, "rename a b\n": syscall.EINVAL, "remove\n": syscall.EBUSY,
		"remove now\n": syscall.EINVAL, "st\x00art\n": syscall.EINVAL, "rename\n": syscall.EINVAL,
	} {
		errno(t, line, m.put("containers/web/ctl", line), want)
		if got := m.read("containers/web/error"); !strings.HasSuffix(got, ".\n") || strings.Count(got, "\n") != 1 || m.read("error") != got {
			t.Errorf("after %q the error is %q, the root's %q", line, got, m.read("error"))
		}
		if !strings.Contains(m.ok("tail -1 events"), `"type":"call"`) {
			t.Errorf("%q left no event", line)
		}
	}
	if err := m.put("containers/web/ctl", "# a comment\n\n  \nstop"); err != nil {
		t.Error(err)
	}
	if got := m.read("containers/web/error"); got != "" {
		t.Errorf("success left the error %q", got)
	}
	if !strings.Contains(m.read("containers/web/ctl"), "# stop [SECONDS]") {
		t.Error("reading ctl does not show its commands")
	}
}

func TestCtlCommandsOfOneWrite(t *testing.T) {
	m := web(t)
	f, err := os.OpenFile(m.path("containers/web/ctl"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// The first is done; the write is as long as it, and the rest gets the errno, as does all that follows.
	if n, err := unix.Write(int(f.Fd()), []byte("stop\nfrobnicate\nstart\n")); n != 5 || err != nil {
		t.Errorf("a write whose second command is bad: %d, %v", n, err)
	}
	_, err = unix.Write(int(f.Fd()), []byte("frobnicate\nstart\n"))
	errno(t, "the rest", err, syscall.EINVAL)
	_, err = unix.Write(int(f.Fd()), []byte("start\n"))
	errno(t, "a good command after it", err, syscall.EINVAL)
	if got := m.read("containers/web/status"); got != "exited\n" {
		t.Errorf("status is %q", got)
	}
}

func TestCtlGoesOnAfterWholeBlocks(t *testing.T) {
	m := web(t)
	f, err := os.OpenFile(m.path("containers/web/ctl"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := strings.Repeat("#", 4096-len("\nsto")) + "\nsto"
	if _, err := f.WriteString(block); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("p\n"); err != nil {
		t.Fatal(err)
	}
	if got := m.read("containers/web/status"); got != "exited\n" {
		t.Errorf("a command in two writes was not done: %q", got)
	}
}

// inWrite starts a shell that writes to a ctl and waits for the answer.
func (m *mounted) inWrite(line string) *exec.Cmd {
	m.t.Helper()
	c := m.shell(context.Background(), `exec env echo "`+line+`" > containers/web/ctl`)
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { c.Process.Kill() })
	return c
}

func TestKillDuringStop(t *testing.T) {
	m := web(t)
	m.Stubborn("web")
	stop := m.inWrite("stop")
	m.until("cat containers/web/status", "stopping\n")
	m.ok("echo kill > containers/web/ctl")
	if err := stop.Wait(); err != nil {
		t.Errorf("the stop: %v", err)
	}
	m.want("cat containers/web/exit", "137\n")
}

func TestSignalsAndStop(t *testing.T) {
	m := web(t)
	m.Stubborn("web")
	stop := m.inWrite("stop")
	m.until("cat containers/web/status", "stopping\n")
	for _, s := range []syscall.Signal{syscall.SIGWINCH, syscall.SIGCHLD, syscall.SIGURG, syscall.SIGCONT} {
		stop.Process.Signal(s)
	}
	m.want("cat containers/web/status", "stopping\n")
	stop.Process.Signal(syscall.SIGINT)
	stop.Wait()
	if ws := stop.ProcessState.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != syscall.SIGINT {
		t.Errorf("ctrl-C ends the caller: %v", stop.ProcessState)
	}
	m.want("cat containers/web/status", "stopping\n") // the stop goes on
	m.ok("echo kill > containers/web/ctl")
}

func TestOpenerHasTheAuthority(t *testing.T) {
	m := web(t)
	f, err := os.OpenFile(m.path("containers/web/ctl"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := exec.Command("sh", "-c", "echo stop")
	c.Stdout = f
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 4242, Gid: 4242}}
	if err := c.Run(); err != nil {
		t.Error(err)
	}
	m.want("cat containers/web/status", "exited\n")
}

// as runs a script as another user and returns its output and exit status.
func (m *mounted) as(uid, gid uint32, script string) (string, int) {
	m.t.Helper()
	c := m.shell(context.Background(), script)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	b, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.t.Fatal(err)
	}
	return string(b), c.ProcessState.ExitCode()
}

func TestStrangersMayLook(t *testing.T) {
	m := web(t)
	open(t, m)
	for _, script := range []string{"ls", "ls containers/web", "cat containers/web/status", "cat containers.txt", "cat images.txt", "head -1 run", "cat images/redis:7/id", "readlink containers/web/rootfs"} {
		if out, code := m.as(4242, 4242, script); code != 0 {
			t.Errorf("%s: %s", script, out)
		}
	}
	for _, script := range []string{
		"cat containers/web/logs", "cat containers/web/config/env", "cat containers/web/command", "echo stop > containers/web/ctl",
		"cat containers/web/ctl", "mkdir containers/mine", "mkdir images/redis:8", "rmdir images/redis:7", "containers/web/exec/sh -c true",
		"exec 3<> run", "ls rootfs/containers/web", "rm containers/web/status", "echo a=b > containers/web/config/env", "mv containers/web containers/x", "ln -s images/redis:7 images/x:1",
	} {
		if out, code := m.as(4242, 4242, script); code == 0 || !strings.Contains(out, "ermission denied") && !strings.Contains(out, "EACCES") {
			t.Errorf("%s as a stranger: %d %s", script, code, out)
		}
	}
	if out, _ := m.as(4242, 4242, "cat containers.txt"); strings.Contains(out, "infinity") || !strings.Contains(out, `"sleep"`) {
		t.Errorf("a stranger sees arguments: %s", out)
	}
	m.want("cat containers/web/status", "running\n")
}

// open lets other users into the test's directories.
func open(t *testing.T, m *mounted) {
	t.Helper()
	for d := m.dir; d != "/"; d = d[:strings.LastIndex(d, "/")] {
		if d == "/tmp" || d == "" {
			return
		}
		var st unix.Stat_t
		if unix.Stat(d, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && d != m.dir {
			os.Chmod(d, 0o755)
		}
	}
}

func TestFailuresAreEachUsersOwn(t *testing.T) {
	m := web(t)
	open(t, m)
	errno(t, "mkdir", syscall.Mkdir(m.path("images/nosuch:1"), 0o755), syscall.ENOENT)
	m.want("cat error images/error", strings.Repeat("The registry docker.io has no image nosuch:1; check the name and tag.\n", 2))
	if out, _ := m.as(4242, 4242, "cat error"); out != "" {
		t.Errorf("a stranger reads root's failure: %s", out)
	}
}

func TestFiftyAtOnce(t *testing.T) {
	m := mount(t, "redis:7")
	m.ok("mkdir images/redis:7")
	m.ok("for i in $(seq 50); do mkdir images/redis:7/containers/c$i & done; wait")
	m.want("ls containers | wc -l | tr -d ' '; wc -l < running.txt | tr -d ' '", "50\n51\n")
	m.ok("for i in $(seq 50); do echo kill > containers/c$i/ctl && rmdir containers/c$i & done; wait")
	m.want("ls containers", "")
}

func TestRemovedWhileOpen(t *testing.T) {
	m := web(t)
	f, err := os.OpenFile(m.path("containers/web/ctl"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m.ok("echo 'remove force' > containers/web/ctl")
	_, err = f.WriteString("start\n")
	errno(t, "a write to a removed container's ctl", err, syscall.ESTALE)
	m.want("ls containers", "")
}

func TestThousandContainers(t *testing.T) {
	m := mount(t, "redis:7")
	for i := range 1000 {
		if err := os.Mkdir(m.path(fmt.Sprintf("containers/c%04d", i)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	m.want("ls -l containers | wc -l | tr -d ' '; wc -l < containers.txt | tr -d ' '", "1001\n1001\n")
	t.Logf("ls -l and containers.txt of 1000 containers take %v", time.Since(start))
}

// TestQuiet is the word that memory may be given back, after the kernel was asked to forget what it knows.
func TestQuiet(t *testing.T) {
	var quiet atomic.Int64
	m := mountWith(t, func(o *fs.Options) { o.Quiet = func() { quiet.Add(1) } }, "redis:7")
	for n := range int64(2) {
		m.ok("mkdir containers/c$$ && ls -lR containers > /dev/null")
		m.tree.QuietNow()
		await(t, "the word", func() bool { return quiet.Load() == n+1 })
	}
}

func TestAWalkIsGivenBack(t *testing.T) {
	m := mount(t, "redis:7")
	for i := range 100 {
		if err := os.Mkdir(m.path(fmt.Sprintf("containers/c%04d", i)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m.ok("ls -lR containers > /dev/null")
	before := m.tree.Nodes()
	if before < 2000 {
		t.Errorf("%d nodes after a walk", before)
	}
	f, err := os.Open(m.path("containers/c0001/status"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if errno := m.tree.Trim(); errno != 0 {
		t.Skipf("this kernel does not forget when it is asked to (6.18 does): %v", errno)
	}
	await(t, "nodes", func() bool { return m.tree.Nodes() < 100 })
	b := make([]byte, 100)
	if n, _ := f.ReadAt(b, 0); string(b[:n]) != "created\n" {
		t.Errorf("an open file after it: %q", b[:n])
	}
	m.want("cat containers/c0099/status", "created\n")
}

func TestSecretsOfOthers(t *testing.T) {
	m := web(t)
	open(t, m)
	errno(t, "a bad value", m.put("containers/web/config/env", "S3CRET\n"), syscall.EINVAL)
	for _, f := range []string{"containers/web/error", "containers/error", "error"} {
		if out, code := m.as(4242, 4242, "cat "+f); code != 0 || strings.Contains(out, "S3CRET") {
			t.Errorf("a stranger reads %s: %q", f, out)
		}
	}
	m.want("cat containers/web/error", "\"S3CRET\" is no value for env.\n")
}

func TestSentencesNameWhatIsThereNow(t *testing.T) {
	m := web(t)
	m.ok("cd containers/web && mv ../web ../www && ! echo frobnicate > ctl")
	if got := m.read("error"); !strings.HasPrefix(got, "containers/www/ctl has no command") {
		t.Error(got)
	}
	m.want("cd containers/www && readlink rootfs", "../../rootfs/containers/www\n")
}
