package launch

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hull/engine/seccomp"
)

// sh is a container that runs a script.
func sh(dir, script string) Spec { return spec(dir, "sh", "-c", script) }

// run runs a container to its end and gives its output, which must come with
// exit code 0.
func run(t *testing.T, s Spec) string {
	t.Helper()
	l := &Launcher{}
	defer l.Close()
	out, code := start(t, l, s).end(t)
	if code != 0 {
		t.Errorf("exit code %d: %s", code, out)
	}
	return out
}

// want compares line by line.
func want(t *testing.T, got string, lines ...string) {
	t.Helper()
	if g := strings.TrimRight(strings.ReplaceAll(got, "\r", ""), "\n"); g != strings.Join(lines, "\n") {
		t.Errorf("got\n%s\nwant\n%s", g, strings.Join(lines, "\n"))
	}
}

func TestNamespaces(t *testing.T) {
	privileged(t)
	names := strings.Fields("cgroup ipc mnt net pid user uts")
	out := run(t, sh(rootfs(t), "for n in "+strings.Join(names, " ")+"; do readlink /proc/self/ns/$n; done"))
	inside := strings.Fields(out)
	if len(inside) != len(names) {
		t.Fatalf("got %q", out)
	}
	for i, n := range names {
		own, err := os.Readlink("/proc/self/ns/" + n)
		must(t, err)
		if own == inside[i] || !strings.HasPrefix(inside[i], n+":") {
			t.Errorf("the %s namespace is %s, the host's is %s", n, inside[i], own)
		}
	}
}

func TestPrivileges(t *testing.T) {
	privileged(t)
	show := []string{"grep", "-E", "^(Cap|NoNewPrivs|Seccomp:|Groups|Umask|SigBlk|SigIgn)", "/proc/self/status"}
	root := []string{"Umask:\t0022", "Groups:\t0 ", "SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "CapInh:\t0000000000000000", "CapPrm:\t00000000800405fb", "CapEff:\t00000000800405fb", "CapBnd:\t00000000800405fb", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"}
	dir := rootfs(t)
	t.Run("root", func(t *testing.T) { want(t, run(t, spec(dir, show...)), root...) })
	t.Run("user", func(t *testing.T) {
		s := spec(dir, show...)
		s.User = "ann"
		w := append([]string{}, root...)
		w[1], w[5], w[6] = "Groups:\t6 1000 ", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000"
		want(t, run(t, s), w...)
	})
	t.Run("no no_new_privs", func(t *testing.T) {
		s := spec(dir, show...)
		s.NoNewPrivileges = false
		w := append([]string{}, root...)
		w[9] = "NoNewPrivs:\t0"
		want(t, run(t, s), w...)
	})
	t.Run("user, no no_new_privs", func(t *testing.T) {
		s := spec(dir, show...)
		s.User, s.NoNewPrivileges = "1000:1000", false
		w := append([]string{}, root...)
		w[1], w[5], w[6], w[9] = "Groups:\t1000 ", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t0"
		want(t, run(t, s), w...)
	})
	t.Run("chosen", func(t *testing.T) {
		s := spec(dir, show...)
		s.Capabilities, s.Seccomp = []string{"CHOWN", "cap_net_raw"}, nil
		w := append([]string{}, root...)
		w[5], w[6], w[7], w[10] = "CapPrm:\t0000000000002001", "CapEff:\t0000000000002001", "CapBnd:\t0000000000002001", "Seccomp:\t0"
		want(t, run(t, s), w...)
	})
	t.Run("exec", func(t *testing.T) {
		l := &Launcher{}
		defer l.Close()
		c := start(t, l, spec(dir, "sleep", "1000"))
		out, _ := exec(t, l, c, ExecSpec{Args: show, NoNewPrivileges: true, Seccomp: seccomp.Default()}).end(t)
		want(t, out, root...)
	})
}

func TestDescriptors(t *testing.T) {
	privileged(t)
	// One that a careless library has left open for children.
	leak, err := unix.Open("/etc/hostname", unix.O_RDONLY, 0)
	must(t, err)
	defer unix.Close(leak)
	dir := rootfs(t)
	list := []string{"ls", "/proc/self/fd"} // 3 is the directory itself
	want(t, run(t, spec(dir, list...)), "0", "1", "2", "3")
	l := &Launcher{}
	defer l.Close()
	c := start(t, l, spec(dir, "sleep", "1000"))
	out, _ := exec(t, l, c, ExecSpec{Args: list}).end(t)
	want(t, out, "0", "1", "2", "3")
}

func TestProcAndSys(t *testing.T) {
	privileged(t)
	dir := rootfs(t)
	t.Run("masked", func(t *testing.T) {
		out := run(t, sh(dir, `for f in /proc/interrupts /proc/keys /proc/timer_list /proc/kcore; do test -e $f || continue; cat $f | wc -c; done | sort -u; for d in /sys/firmware /proc/acpi /proc/scsi; do test -e $d || continue; ls -A $d | wc -l; done | sort -u`))
		want(t, out, "0", "0")
	})
	t.Run("read-only", func(t *testing.T) {
		out := run(t, sh(dir, `for f in /proc/sys/kernel/hostname /proc/sysrq-trigger /proc/sys/net/ipv4/ip_forward; do test -e $f || continue; (echo 1 > $f) 2>/dev/null && echo wrote $f; done; touch /sys/x /sys/fs/cgroup/x 2>/dev/null && echo made; echo done`))
		want(t, out, "done")
	})
	t.Run("mounts", func(t *testing.T) {
		out := run(t, sh(dir, "cat /proc/self/mountinfo"))
		host := os.TempDir()
		for line := range strings.Lines(out) {
			f := strings.Fields(line)
			if f[4] != "/" && strings.HasPrefix(f[4], host) {
				t.Errorf("a mount of the host is left: %s", line)
			}
			if f[4] == "/" && !strings.Contains(f[5], "nodev") {
				t.Errorf("the root has devices: %s", line)
			}
			if f[4] == "/proc" && !strings.Contains(f[5], "nosuid,nodev,noexec") {
				t.Errorf("%s", line)
			}
		}
	})
	t.Run("cannot be undone", func(t *testing.T) {
		out := run(t, sh(dir, `mount -o remount,rw,bind /proc/sys 2>/dev/null && echo remounted; mount -t proc proc /tmp 2>/dev/null && echo mounted; mount -t tmpfs t /tmp 2>/dev/null && echo mounted; echo done`))
		want(t, out, "done")
	})
	t.Run("sysctl", func(t *testing.T) {
		want(t, run(t, sh(dir, "cd /proc/sys/net/ipv4; cat ip_unprivileged_port_start ping_group_range")), "0", "0\t65535")
	})
	t.Run("lo", func(t *testing.T) {
		out := run(t, sh(dir, "ifconfig lo | grep -c 'UP LOOPBACK RUNNING'; ls /sys/class/net"))
		want(t, out, "1", "lo")
	})
}

func TestDev(t *testing.T) {
	privileged(t)
	dir := rootfs(t)
	out := run(t, sh(dir, `cd /dev; echo *; echo x > null; head -c 3 zero | wc -c; head -c 3 urandom | wc -c; (echo x > full) 2>/dev/null || echo full; readlink ptmx; stat -c %a shm; touch shm/x mqueue/x && echo shared; stat -f -c %T pts`))
	want(t, out, "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero", "3", "3", "full", "pts/ptmx", "1777", "shared", "devpts")
	s := sh(dir, "grep ' /dev/shm ' /proc/self/mountinfo | grep -o size=.*k")
	s.ShmSize = 1 << 20
	want(t, run(t, s), "size=1024k")
}

func TestTerminal(t *testing.T) {
	privileged(t)
	const script = "stty size; tty; test -c /dev/console && echo console; echo $TERM; stat -c %u:%g /dev/pts/0; echo hi > /dev/tty"
	dir := rootfs(t)
	s := sh(dir, script)
	s.TTY, s.Rows, s.Cols, s.User = true, 33, 121, "ann"
	want(t, run(t, s), "33 121", "/dev/pts/0", "console", "xterm", "1000:5", "hi")
	l := &Launcher{}
	defer l.Close()
	c := start(t, l, spec(dir, "sleep", "1000"))
	e := exec(t, l, c, ExecSpec{Args: []string{"sh", "-c", "stty size; tty; cat"}, TTY: true, Rows: 10, Cols: 20, Env: []string{"PATH=/bin", "TERM=vt100"}})
	_, err := e.Pty().WriteString("typed\n\x04") // end of input
	must(t, err)
	out, code := e.end(t)
	// The echo of what is typed may come at any point.
	for _, w := range []string{"10 20\r\n", "/dev/pts/0\r\n", "typed\r\n"} {
		if !strings.Contains(out, w) || code != 0 {
			t.Errorf("exit code %d; %q is not in %q", code, w, out)
		}
	}
}

func TestStdio(t *testing.T) {
	privileged(t)
	s := sh(rootfs(t), "cat; echo out > /dev/stdout; echo err > /dev/stderr; id -u")
	s.User = "ann" // pipes must be opened again by their user
	in, w, err := os.Pipe()
	must(t, err)
	defer in.Close()
	s.Stdin = in
	_, err = w.WriteString("in\n")
	must(t, err)
	must(t, w.Close())
	want(t, run(t, s), "in", "out", "err", "1000")
}

func TestUserMapping(t *testing.T) {
	privileged(t)
	dir := rootfs(t)
	want(t, run(t, sh(dir, "cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '; touch /tmp/mine")), fmt.Sprintf(" 0 %d 65536", testRange.First), fmt.Sprintf(" 0 %d 65536", testRange.First))
	var st unix.Stat_t
	must(t, unix.Stat(dir+"/tmp/mine", &st))
	if st.Uid != 0 {
		t.Errorf("the file belongs to %d on disk", st.Uid)
	}
	l := &Launcher{}
	defer l.Close()
	c := start(t, l, spec(dir, "sleep", "1000"))
	status, err := os.ReadFile("/proc/" + strconv.Itoa(c.PID()) + "/status")
	must(t, err)
	if !strings.Contains(string(status), fmt.Sprintf("\nUid:\t%d\t", testRange.First)) {
		t.Errorf("on the host the process is\n%s", status)
	}
}

func TestHostUsers(t *testing.T) {
	privileged(t)
	s := sh(rootfs(t), "id -u; cat /proc/self/uid_map | tr -s ' '; echo x > /dev/null; stat -c %t,%T,%a /dev/null; grep CapEff /proc/self/status")
	s.Range = IDRange{}
	want(t, run(t, s), "0", " 0 0 4294967295", "1,3,666", "CapEff:\t00000000800405fb")
}

func TestEnvironment(t *testing.T) {
	privileged(t)
	dir := rootfs(t)
	s := spec(dir, "env")
	s.Env, s.User, s.Dir = []string{"A=1", "A=2", "EMPTY="}, "ann", "/home/ann"
	want(t, run(t, s), "A=2", "EMPTY=", "PATH="+defaultPath, "HOSTNAME=c0ffee", "HOME=/home/ann")
	s = sh(dir, "hostname; ulimit -n; pwd; cat /etc/hosts")
	s.Dir = "/made/for/it"
	s.Files = map[string][]byte{"/etc/hosts": []byte("127.0.0.1 localhost\n")}
	want(t, run(t, s), "c0ffee", "1024", "/made/for/it", "127.0.0.1 localhost")
}

func TestReadOnly(t *testing.T) {
	privileged(t)
	s := sh(rootfs(t), "pwd; for f in /x /etc/hosts; do touch $f 2>/dev/null || echo no; done; touch /dev/shm/x && echo yes")
	s.ReadOnly, s.Dir = true, "/made"
	s.Files = map[string][]byte{"/etc/hosts": nil}
	want(t, run(t, s), "/made", "no", "no", "yes")
}
