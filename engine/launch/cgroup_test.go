package launch

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hull/engine/plan"
)

func TestHierarchy(t *testing.T) {
	for line, want := range map[string]plan.CgroupMount{
		"36 35 0:30 / /sys/fs/cgroup/cpu rw,nosuid,relatime shared:1 - cgroup cgroup rw,cpu":                                       {Dir: "cpu", Data: "cpu"},
		"36 35 0:30 / /sys/fs/cgroup/x rw - cgroup cgroup rw,cpu,cpuacct":                                                          {Dir: "cpu,cpuacct", Data: "cpu,cpuacct"},
		"36 35 0:30 / /a\\040b rw - cgroup cgroup rw,xattr,name=systemd":                                                           {Dir: "systemd", Data: "none,name=systemd"},
		"36 35 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset,noprefix,clone_children,release_agent=/sbin/cpuset_agent": {Dir: "cpuset", Data: "cpuset"},
		"36 35 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate":                                                           {Dir: "unified", V2: true},
		"36 35 0:30 / / rw - ext4 /dev/vda rw":                                                                                     {},
		"36 35 0:30 / / rw":                                                                                                        {},
		"":                                                                                                                         {},
		"x y - cgroup cgroup rw,cpu":                                                                                               {},
		"36 - cgroup":                                                                                                              {},
	} {
		id, m, ok := hierarchy(line + "\n")
		if ok != (m != plan.CgroupMount{}) || !reflect.DeepEqual(m, want) || ok && id != 36 {
			t.Errorf("%q: %d, %+v, %v", line, id, m, ok)
		}
	}
}

// groups makes a cgroup of its own in some hierarchies of this machine, and
// gives the ways into it.
func groups(t *testing.T) (dirs []string, joins []*os.File) {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	for line := range strings.Lines(string(table)) {
		_, m, ok := hierarchy(line)
		if !ok || len(dirs) == 3 && !m.V2 || m.Dir == "cpuset" { // an empty cpuset takes nobody
			continue
		}
		dir := filepath.Join(strings.Fields(line)[4], fmt.Sprintf("launch-test-%d", os.Getpid()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			continue // not for us
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
		name, flags := "tasks", os.O_WRONLY
		if m.V2 {
			name, flags = "", unix.O_PATH|unix.O_DIRECTORY
		}
		f, err := os.OpenFile(filepath.Join(dir, name), flags, 0)
		must(t, err)
		t.Cleanup(func() { _ = f.Close() })
		dirs, joins = append(dirs, dir), append(joins, f)
	}
	if len(dirs) == 0 {
		t.Skip("there are no cgroups to make groups in")
	}
	return dirs, joins
}

func TestCgroups(t *testing.T) {
	privileged(t)
	dirs, joins := groups(t)
	own := filepath.Base(dirs[0])
	l := &Launcher{}
	defer l.Close()
	dir := rootfs(t)
	s := sh(dir, "grep -c "+own+" /proc/self/cgroup; ls -A /sys/fs/cgroup | wc -l; grep -c . /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/cgroup.procs 2>/dev/null | grep -c :0; mkdir /sys/fs/cgroup/*/x 2>/dev/null; cat /dev/zero | head -c 1 >/dev/null; : >/said; sleep 1000")
	s.Cgroups = joins
	c := start(t, l, s)
	for _, d := range dirs {
		procs, err := os.ReadFile(filepath.Join(d, "cgroup.procs"))
		must(t, err)
		if !strings.HasPrefix(string(procs), fmt.Sprintf("%d\n", c.PID())) {
			t.Errorf("%s has the processes %q, not %d", d, procs, c.PID())
		}
	}
	r, w, err := os.Pipe()
	must(t, err)
	defer w.Close()
	p, err := l.Exec(within(t), Target{Pidfd: c.Pidfd(), Range: testRange, Cgroups: joins}, ExecSpec{Args: []string{"sh", "-c", "until [ -e /said ]; do sleep 0.02; done; cat /proc/self/cgroup"}, Env: []string{"PATH=/bin"}, Stdout: w})
	must(t, err)
	e := launched(t, p, r)
	must(t, w.Close())
	out, _ := e.end(t)
	if strings.Contains(out, own) || strings.Contains(out, "..") {
		t.Errorf("an exec sees %s", out)
	}
	must(t, unix.PidfdSendSignal(int(c.Pidfd().Fd()), unix.SIGKILL, nil, 0))
	if out, _ := c.end(t); !strings.HasPrefix(out, "0\n") {
		t.Errorf("the container sees its own name: %s", out)
	}
}
