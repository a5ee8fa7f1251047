package fs_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"hull/fs"
)

// created makes the container db, which was never started, and returns a tree whose scripts run in its config.
func created(t *testing.T) *mounted {
	t.Helper()
	m := mount(t, "redis:7")
	m.ok("mkdir containers/db")
	return m
}

func (m *mounted) config(script, output string) {
	m.t.Helper()
	m.want("cd containers/db/config && "+script, output)
}

func TestSettingsByEveryTool(t *testing.T) {
	m := created(t)
	m.config("cat env; stat -c %s env", "0\n")
	m.config("echo A=1 > env && cat env; stat -c %s env", "A=1\n4\n")
	m.config("echo B=2 >> env && cat env", "A=1\nB=2\n")
	m.config("printf C=3 > env && cat env", "C=3")
	m.config("echo D=4 | tee -a env && cat env", "D=4\nC=3D=4\n")
	m.config("printf 'A=1\\nB=2\\n' > /tmp/p7.env.$$ && cp /tmp/p7.env.$$ env && rm /tmp/p7.env.$$ && cat env", "A=1\nB=2\n")
	m.config("sed -i s/B=2/B=3/ env && cat env && ls -A", "A=1\nB=3\ncommand\nentrypoint\nenv\nhostname\nimage\njson\npending\nstdin\ntty\nuser\nworkdir\n")
	m.config("{ echo A=1; echo B=2; echo C=3; } > env && cat env", "A=1\nB=2\nC=3\n")
	m.config("echo X=1 > env.new && mv env.new env && cat env", "X=1\n")
	m.config("dd if=env of=hostname bs=1 count=1 2>/dev/null && cat hostname", "X")
	m.config("chmod 640 env && touch env && cat env", "X=1\n")
	m.ok("mkdir containers/db2")
	m.want("cp containers/db/config/env containers/db2/config/env && cat containers/db2/config/env", "X=1\n")
	m.want("python3 -c 'import os; os.copy_file_range(os.open(\"containers/db/config/env\", 0), os.open(\"containers/db2/config/hostname\", os.O_WRONLY|os.O_TRUNC), 1)' && cat containers/db2/config/hostname", "X")
}

func TestTruncateAlone(t *testing.T) {
	m := created(t)
	m.config("echo A=1 > env", "")
	m.ok(": > containers/db/config/env")
	m.until("cat containers/db/config/env", "") // release is told after close has returned
	m.config("echo A=1 > env && truncate -s 3 env && cat env", "A=1")
}

func TestBadValuesLeaveTheOld(t *testing.T) {
	m := created(t)
	m.config("echo A=1 > env && echo true > tty && echo box > hostname", "")
	errno(t, "tty", m.put("containers/db/config/tty", "perhaps\n"), syscall.EINVAL)
	errno(t, "hostname", m.put("containers/db/config/hostname", "a b\n"), syscall.EINVAL)
	m.want("cat containers/db/error", "\"a b\" is no value for hostname.\n")
	errno(t, "mv", os.WriteFile(m.path("containers/db/config/tty.new"), []byte("maybe\n"), 0o644), 0)
	errno(t, "mv", os.Rename(m.path("containers/db/config/tty.new"), m.path("containers/db/config/tty")), syscall.EPERM)
	m.config("cat tty hostname env", "true\nbox\nA=1\n")
	m.config("rm tty.new && echo false > tty && cat ../error tty", "false\n")
	errno(t, "a value without end", m.put("containers/db/config/env", strings.Repeat("A=1\n", 1<<18+1)), syscall.EINVAL)
}

func TestAppendsAllArrive(t *testing.T) {
	m := created(t)
	m.ok("for i in $(seq 20); do (for j in $(seq 5); do echo V$i=$j >> containers/db/config/env; done) & done; wait")
	m.want("sort -u containers/db/config/env | wc -l | tr -d ' '", "100\n")
}

// A buffered program writes in pieces of a page or more, and a piece may be no value by itself.
func TestValuesInPieces(t *testing.T) {
	m := created(t)
	const name = "containers/db/config/env"
	first := "A=" + strings.Repeat("x", 4090) + "\nBCD" // a page, in the middle of a name
	rest := "=1\n"
	open := func(flags int) *os.File {
		f, err := os.OpenFile(m.path(name), os.O_WRONLY|flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	write := func(f *os.File, text string, want syscall.Errno) {
		t.Helper()
		_, err := f.WriteString(text)
		errno(t, "write", err, want)
	}
	has := func(want string) {
		t.Helper()
		if got := m.read(name); got != want {
			t.Errorf("the value is %.60q…, %d bytes; wanted %.60q…, %d", got, len(got), want, len(want))
		}
	}
	m.config("echo OLD=1 > env", "")
	f := open(os.O_TRUNC)
	write(f, first, 0)
	has("OLD=1\n")
	write(f, rest, 0)
	has(first + rest)
	errno(t, "close", f.Close(), 0)

	m.config("echo OLD=1 > env", "")
	f = open(os.O_APPEND)
	write(f, first, 0)
	m.config("echo Z=1 >> env", "")
	write(f, rest, 0)
	write(f, "Y=1\n", 0)
	errno(t, "close", f.Close(), 0)
	has("OLD=1\nZ=1\n" + first + rest + "Y=1\n")

	// What never becomes a value is refused at the latest when the file is closed.
	m.config("echo OLD=1 > env", "")
	f = open(os.O_TRUNC)
	write(f, first, 0)
	errno(t, "close", f.Close(), syscall.EINVAL)
	if got := m.read("error"); !strings.HasPrefix(got, "\"A=xx") {
		t.Errorf("%.80q", got)
	}
	has("OLD=1\n")
	f = open(os.O_TRUNC)
	write(f, first[1:], syscall.EINVAL)
	errno(t, "close", f.Close(), 0)
	has("OLD=1\n")
	f = open(os.O_TRUNC)
	write(f, first+first, 0)
	write(f, "E\n", syscall.EINVAL)
	errno(t, "close", f.Close(), 0)
	m.until("cat "+name, "OLD=1\n")
}

func TestNoSuchSetting(t *testing.T) {
	m := created(t)
	errno(t, "create", m.put("containers/db/config/memroy", "1G\n"), syscall.ENOENT)
	if got := m.read("error"); !strings.Contains(got, "There is no setting memroy") {
		t.Error(got)
	}
	errno(t, "pending", m.put("containers/db/config/pending", "x\n"), syscall.EPERM)
	errno(t, "rename", os.Rename(m.path("containers/db/config/env"), m.path("containers/db/config/tty")), syscall.EPERM)
	errno(t, "rename out", os.Rename(m.path("containers/db/config/env"), m.path("containers/env")), syscall.EPERM)
	errno(t, "mkdir", os.Mkdir(m.path("containers/db/config/x"), 0o755), syscall.EPERM)
	errno(t, "link", os.Link(m.path("containers/db/config/env"), m.path("containers/db/config/env.bak")), syscall.EPERM)
	errno(t, "mkfifo", syscall.Mkfifo(m.path("containers/db/config/p.x"), 0o644), syscall.EPERM)
	errno(t, "setxattr", syscall.Setxattr(m.path("containers/db/config/env"), "user.x", []byte("y"), 0), syscall.ENOTSUP)
	errno(t, "chmod u+s", syscall.Chmod(m.path("containers/db/config/env"), 0o4750), syscall.EPERM)
}

func TestVimAndOthers(t *testing.T) {
	m := created(t)
	m.config("echo A=1 > env", "")
	if vim, err := exec.LookPath("vim"); err == nil {
		m.config(vim+" -Es -u NONE -c 'set backup writebackup swapfile' -c 's/1/2/' -c wq env && cat env", "A=2\n")
		m.config("echo A=1 > env", "")
	}
	// What vim does with backupcopy=no: the setting becomes env~, a new one is made, env~ goes.
	m.config("mv env env~ && (set -C; echo A=7 > env) && cat env && rm env~ && ls env*", "A=7\nenv\n")
	// And what rm alone does: the setting is reset, and comes back.
	m.ok("rm containers/db/config/env")
	m.until("cat containers/db/config/env && ls containers/db/config/env", "containers/db/config/env\n")
}

func TestRemoveRecursively(t *testing.T) {
	m := mount(t, "redis:7")
	m.ok("mkdir images/redis:7 images/redis:7/containers/web")
	m.Session("web", fs.ContainerSession{ID: "a", Number: 1, Command: "sleep 5", Ended: true})
	const listing = "find containers/web | grep -v /exec/"
	before, _ := m.run(listing)
	out, code := m.run("rm -r containers/web")
	if code == 0 || !strings.Contains(out, "busy") {
		t.Errorf("rm -r of a running container: %d %s", code, out)
	}
	m.want(listing+"; cat containers/web/status", before+"running\n")
	m.ok("echo kill > containers/web/ctl; rm -r containers/web")
	m.want("ls containers", "")
	m.ok("rm -r images/redis:7")
	m.want("ls images", "")
}

func TestTailFollows(t *testing.T) {
	m := mount(t, "redis:7")
	m.ok("mkdir images/redis:7 images/redis:7/containers/web")
	m.Write("web", "stdout", "one\n")
	out, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c := exec.Command("tail", "-s", "0.01", "-f", "-n", "+1", m.path("containers/web/logs"))
	c.Stdout = out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Wait()
	defer c.Process.Kill()
	shows := func(want string) {
		await(t, "tail's output", func() bool { b, _ := os.ReadFile(out.Name()); return string(b) == want })
	}
	shows("one\n")
	m.Write("web", "stderr", "two\n")
	shows("one\ntwo\n")
	m.Write("web", "stdout", "three\n")
	shows("one\ntwo\nthree\n")
	m.want("cat containers/web/stderr", "two\n")
}

// await waits until something is so.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Errorf("%s: not so in 30 s", what)
}
