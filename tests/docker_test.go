package tests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// dockerd is the machine's own Docker, with everything of it in a directory of the
// tests: one for the whole run, started by the first test that compares with it. The
// directory is in memory, where nothing has to reach a disk.
var dockerd dockerDaemon

type dockerDaemon struct {
	once   sync.Once
	err    error
	dir    string
	socket string
	cmd    *exec.Cmd
	done   chan struct{} // closed when it has ended
}

// docker returns a way to run docker's client on that daemon.
func docker(t testing.TB) func(args ...string) string {
	t.Helper()
	needs(t)
	server, client := tool(t, "dockerd"), dockerClient(t)
	tool(t, "containerd")
	tool(t, "runc")
	dockerd.once.Do(func() { dockerd.err = dockerd.start(server, client) })
	if dockerd.err != nil {
		t.Fatalf("dockerd does not start: %v\n%s", dockerd.err, tail(dockerd.dir+"/log"))
	}
	return func(args ...string) string { t.Helper(); return output(t, dockerd.client(client, args...)) }
}

// dockerClient is Debian's, if it is there: what others are on the PATH may be too
// new for the daemon.
func dockerClient(t testing.TB) string {
	t.Helper()
	if _, err := os.Stat("/usr/bin/docker"); err == nil {
		return "/usr/bin/docker"
	}
	return tool(t, "docker")
}

func (d *dockerDaemon) client(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST=unix://"+d.socket, "DOCKER_CONFIG="+d.dir, "DOCKER_BUILDKIT=0", "DOCKER_CLI_HINTS=false")
	return cmd
}

func (d *dockerDaemon) start(server, client string) error {
	var err error
	if d.dir, err = os.MkdirTemp("", "hull-docker-"); err != nil {
		return err
	}
	if err := unix.Mount("hull-tests", d.dir, "tmpfs", 0, ""); err != nil {
		return err
	}
	d.socket = d.dir + "/sock"
	if err := os.WriteFile(d.dir+"/daemon.json", []byte("{}"), 0o600); err != nil {
		return err
	}
	log, err := os.Create(d.dir + "/log")
	if err != nil {
		return err
	}
	defer log.Close()
	d.cmd = exec.Command(server, "--config-file", d.dir+"/daemon.json", "--data-root", d.dir+"/data", "--exec-root", d.dir+"/exec",
		"--pidfile", d.dir+"/pid", "--host", "unix://"+d.socket, "--iptables=false", "--ip6tables=false", "--ip-forward=false",
		"--storage-driver=overlay2", "--cgroup-parent="+d.cgroup())
	d.cmd.Stdout, d.cmd.Stderr = log, log
	// It ends with the tests, however they end: a thread that lives as long.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGTERM, Setpgid: true}
	started := make(chan error, 1)
	d.done = make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(d.done)
		err := d.cmd.Start()
		started <- err
		if err == nil {
			_ = d.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	deadline := time.Now().Add(patience)
	for {
		out, err := d.client(client, "version").CombinedOutput()
		if err == nil {
			return nil
		}
		select {
		case <-d.done:
			return errors.New("it has ended")
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
}

// peerDir is a directory beside the daemon's, as long as a test runs.
func peerDir(t testing.TB) string {
	t.Helper()
	docker(t)
	dir, err := os.MkdirTemp(dockerd.dir, "peer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func (d *dockerDaemon) cgroup() string { return "/" + filepath.Base(d.dir) }

// end ends the daemon, and takes away what it leaves.
func (d *dockerDaemon) end() error {
	if d.dir == "" {
		return nil
	}
	if d.cmd != nil && d.cmd.Process != nil {
		_ = d.cmd.Process.Signal(unix.SIGTERM)
		select {
		case <-d.done:
		case <-time.After(patience):
			_ = d.cmd.Process.Kill()
			<-d.done
		}
	}
	var problems []error
	if link, err := netlink.LinkByName("docker0"); err == nil {
		problems = append(problems, netlink.LinkDel(link)) // it leaves that
	}
	for _, at := range append(mountsBelow(d.dir), d.dir) {
		problems = append(problems, unix.Unmount(at, unix.MNT_DETACH))
	}
	for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		groups, _ := filepath.Glob(pattern + d.cgroup())
		for _, g := range groups {
			_ = os.Remove(g) // it has none of ours any more
		}
	}
	return errors.Join(append(problems, os.RemoveAll(d.dir))...)
}

// mountsBelow are the mount points in a directory, the innermost first.
func mountsBelow(dir string) []string {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			out = append(out, f[4])
		}
	}
	slices.Reverse(out)
	return out
}

// output runs a command that has to succeed.
func output(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, out, stderr.String())
	}
	return string(out)
}

// tail is the end of a log.
func tail(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}

// dockerLayers are the directories that Docker's overlay2 merges for an image,
// highest first.
func dockerLayers(t testing.TB, image string) []string {
	t.Helper()
	var data struct{ UpperDir, LowerDir string }
	text := docker(t)("image", "inspect", "--format", "{{json .GraphDriver.Data}}", image)
	if err := json.Unmarshal([]byte(text), &data); err != nil {
		t.Fatal(err)
	}
	dirs := []string{data.UpperDir}
	if data.LowerDir != "" {
		dirs = append(dirs, strings.Split(data.LowerDir, ":")...)
	}
	return dirs
}

// overlay mounts directories over one another, highest first, for reading, and
// returns a path to the merged tree.
func overlay(t testing.TB, dirs []string) string {
	t.Helper()
	context, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(context)
	if len(dirs) == 1 { // overlay wants two
		dirs = append(dirs, t.TempDir())
	}
	for _, d := range dirs {
		if err := unix.FsconfigSetString(context, "lowerdir+", d); err != nil {
			t.Fatalf("overlay does not take %s: %v", d, err)
		}
	}
	if err := unix.FsconfigCreate(context); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "merged")
	t.Cleanup(func() { _ = f.Close() })
	return fmt.Sprintf("/proc/self/fd/%d/", fd)
}
