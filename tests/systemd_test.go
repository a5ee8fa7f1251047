package tests

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hull/tests/need"
)

// systemdHost is a machine of its own as far as systemd goes, which is its process 1: see systemd/boot.
type systemdHost struct {
	*testing.T
	m     *mounted // of the store
	group string
	boot  *exec.Cmd
	log   bytes.Buffer
}

func bootSystemd(t *testing.T) *systemdHost {
	t.Helper()
	const systemd = "/lib/systemd/systemd"
	if _, err := os.Stat(systemd); err != nil {
		need.Lacking(t, systemd)
	}
	base, err := os.MkdirTemp("", "hull-systemd-")
	if err != nil {
		t.Fatal(err)
	}
	h := &systemdHost{T: t, m: &mounted{base: base}, group: filepath.Base(base)}
	script, err := filepath.Abs("systemd/boot")
	if err != nil {
		t.Fatal(err)
	}
	h.boot = exec.Command("sh", script, base, hull, h.m.path("store"), h.group)
	h.boot.Stdout, h.boot.Stderr = &h.log, &h.log
	h.boot.WaitDelay = time.Second
	h.boot.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC, Setsid: true,
	}
	t.Cleanup(h.turnOff)
	theGuard.tell(base)
	if err := h.boot.Start(); err != nil {
		t.Fatal(err)
	}
	h.await(`test "$(systemctl is-system-running)" = running`)
	return h
}

// turnOff kills process 1, and the kernel all that is there.
func (h *systemdHost) turnOff() {
	_, _ = h.sh("hull umount --stop /hull") // if the test has failed: links and rules are not of its namespaces
	_ = h.boot.Process.Kill()
	_ = h.boot.Wait()
	if h.Failed() {
		h.Log(h.log.String())
	}
	groups := h.m.groups()
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		found, _ := filepath.Glob(pattern + h.group)
		groups = append(groups, found...)
	}
	for _, g := range groups {
		for late := time.Now().Add(patience); !removed(g); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(late) {
				h.Errorf("left behind: %s", g)
				break
			}
		}
	}
	if err := os.RemoveAll(h.m.base); err != nil {
		h.Error(err)
	}
}

// removed removes a control group with those below it, which must be empty.
func removed(group string) bool {
	var all []string
	_ = filepath.WalkDir(group, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			all = append(all, path)
		}
		return nil
	})
	for _, path := range slices.Backward(all) {
		_ = os.Remove(path)
	}
	_, err := os.Lstat(group)
	return os.IsNotExist(err)
}

// sh runs a line of shell there.
func (h *systemdHost) sh(line string) (string, error) {
	cmd := exec.Command("timeout", "-k", "1", fmt.Sprint(2*int(patience.Seconds())), "nsenter", "-t", strconv.Itoa(h.boot.Process.Pid), "-m", "-u", "-i", "-p",
		"env", "-i", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "REG="+addr, "sh", "-c", "cd / && "+line)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (h *systemdHost) must(line string) string {
	h.Helper()
	out, err := h.sh(line)
	if err != nil {
		h.Fatalf("%s: %v: %s", line, err, out)
	}
	return out
}

func (h *systemdHost) await(line string) {
	h.Helper()
	for late := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		out, err := h.sh(line)
		if err == nil {
			return
		}
		if time.Now().After(late) {
			h.Fatalf("%s: %v: %s", line, err, out)
		}
	}
}

// TestSystemd: a real systemd starts, reloads, restarts and stops the unit, and a container lives on where it should.
func TestSystemd(t *testing.T) {
	needs(t)
	h := bootSystemd(t)
	h.must("systemctl start hull") // returns when the tree is there
	h.must("cat /hull/version && mkdir -p /hull/images/$REG/host:1 && /hull/images/$REG/host:1/wait")
	h.must("/hull/run -d --stop-timeout 0 --name box $REG/host:1 sleep 1000")
	pid := h.must("cat /hull/containers/box/pid")
	const box = `test "$(cat /hull/containers/box/status)" = running && cat /hull/containers/box/pid`
	lives := func(after string) {
		t.Helper()
		h.await(box)
		if now := h.must(box); now != pid {
			t.Fatalf("after %s the container's process is %s, and was %s", after, now, pid)
		}
		h.await(`test "$(systemctl is-active hull)" = active`)
	}

	monitor := h.must("pgrep -of '^/usr/local/bin/hull monitor'")
	h.must("systemctl reload hull") // another program in its place
	lives("a reload")
	if now := h.must("pgrep -of '^/usr/local/bin/hull monitor'"); now != monitor {
		t.Errorf("the monitor was %s and is %s", monitor, now)
	}

	h.must("systemctl kill --kill-who=main --signal=KILL hull")
	h.await(`test "$(systemctl show --property=NRestarts --value hull)" = 1`)
	lives("the death of hull mount")

	daemon := h.must("pgrep -of '^/usr/local/bin/hull daemon'")
	h.must("kill -9 " + monitor)
	h.await("! kill -0 " + daemon) // it has given its place to another
	lives("the death of the monitor")
	if n := h.must("systemctl show --property=NRestarts --value hull"); n != "1" {
		t.Errorf("the unit was started anew %s times", n)
	}

	h.must(`printf '[Service]\nExecStop=hull umount --leave\n' > /etc/systemd/system/hull.service.d/leave.conf && systemctl daemon-reload`)
	h.must("systemctl stop hull && ! mountpoint -q /hull && kill -0 " + pid)
	h.must("systemctl start hull")
	lives("a stop that leaves it, and a start")
	h.must("systemctl restart hull")
	lives("a restart")

	h.must("rm /etc/systemd/system/hull.service.d/leave.conf && systemctl daemon-reload")
	h.must("systemctl stop hull && ! mountpoint -q /hull && ! kill -0 " + pid + " 2> /dev/null")
	if got := h.must("systemctl show --property=Result --property=ActiveState --value hull"); got != "success\ninactive" && got != "inactive\nsuccess" {
		t.Errorf("the unit has ended: %q", got)
	}
}
