package tests

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hull/tests/need"
)

// serviceTime is the watchdog's time in these tests: a daemon that is silent for half of it is replaced.
const serviceTime = "8000000"

// unit is hull as the main process of a service, and a service manager's socket.
type unit struct {
	*testing.T
	m     *mounted
	path  string
	heard chan string
	cmd   *exec.Cmd
}

func (u *unit) start() {
	u.Helper()
	args := u.m.mountArgs(nil)
	u.cmd = exec.Command(hull, append(args[:1], args[2:]...)...) // in the foreground
	u.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+u.path, "WATCHDOG_USEC="+serviceTime)
	log, err := os.OpenFile(u.m.path("said"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		u.Fatal(err)
	}
	defer log.Close()
	u.cmd.Stdout, u.cmd.Stderr = log, log
	if err := u.cmd.Start(); err != nil {
		u.Fatal(err)
	}
}

// hears waits until a line comes.
func (u *unit) hears(line string) {
	u.Helper()
	late := time.After(patience)
	for {
		select {
		case got := <-u.heard:
			for _, l := range strings.Split(got, "\n") {
				if l == line {
					return
				}
			}
		case <-late:
			said, _ := os.ReadFile(u.m.path("said"))
			u.Fatalf("%s was not said; hull's output: %s", line, said)
		}
	}
}

func (u *unit) daemon() int {
	u.Helper()
	for late := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if pids := u.m.role("daemon"); len(pids) == 1 {
			return pids[0]
		}
		if time.Now().After(late) {
			u.Fatal("no daemon")
		}
	}
}

// TestService: hull tells a service manager when it is there and that it lives; a daemon that hangs is replaced; when
// the main process is killed the containers live on, and it goes on with them when it is started again.
func TestService(t *testing.T) {
	needs(t)
	base, err := os.MkdirTemp("", "hull-service-")
	if err != nil {
		t.Fatal(err)
	}
	u := &unit{T: t, m: &mounted{base: base}, path: base + "/notify", heard: make(chan string, 1000)}
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: u.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	listened := make(chan struct{})
	go func() {
		defer close(listened)
		b := make([]byte, 4096)
		for {
			n, err := socket.Read(b)
			if err != nil {
				return
			}
			u.heard <- string(b[:n])
		}
	}()
	t.Cleanup(func() {
		socket.Close()
		<-listened
		for _, p := range u.m.end() {
			t.Errorf("left behind: %s", p)
		}
	})

	u.start()
	u.hears("READY=1")
	u.hears("WATCHDOG=1")
	u.m.must(t, "mkdir -p $I/host:1 && $I/host:1/wait && ./run -d --name box $REG/host:1 sleep 1000")

	hung := u.daemon()
	if err := unix.Kill(hung, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for late := time.Now().Add(patience); unix.Kill(hung, 0) == nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("a daemon that hangs is left alone")
		}
	}
	for len(u.heard) > 0 {
		<-u.heard
	}
	u.hears("WATCHDOG=1")
	u.m.must(t, "test $(cat containers/box/status) = running")

	if err := u.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = u.cmd.Wait()
	for len(u.heard) > 0 {
		<-u.heard
	}
	u.start()
	u.hears("READY=1")
	u.m.must(t, "test $(cat containers/box/status) = running")

	if err := u.cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	u.hears("STOPPING=1")
	u.hears("STATUS=unmounted")
	if err := u.cmd.Wait(); err != nil {
		t.Errorf("hull mount ended with %v", err)
	}
	if u.m.isMounted() {
		t.Error("the tree is mounted still")
	}
}

// TestInstall: what make install puts down is a unit that systemd understands, and a link that leads to hull.
func TestInstall(t *testing.T) {
	for _, program := range []string{"make", "systemd-analyze"} {
		if _, err := exec.LookPath(program); err != nil {
			need.Lacking(t, program)
		}
	}
	dir := t.TempDir()
	prefix := filepath.Join(dir, "usr")
	install := exec.Command("make", "-C", "..", "-o", "build", "install", "HULL="+hull, "PREFIX="+prefix, "SBINDIR="+dir+"/sbin")
	output(t, install)
	unit := prefix + "/lib/systemd/system/hull.service"
	if out := output(t, exec.Command("systemd-analyze", "verify", "--man=no", unit)); strings.Contains(out, "hull.service") {
		t.Errorf("systemd says: %s", out)
	}
	if to, err := os.Readlink(dir + "/sbin/mount.fuse.hull"); err != nil || to != prefix+"/bin/hull" {
		t.Errorf("the link leads to %s, %v", to, err)
	}
	for _, page := range []string{"man1/hull.1", "man5/hullfs.5"} {
		if _, err := os.Stat(prefix + "/share/man/" + page); err != nil {
			t.Error(err)
		}
	}
}
