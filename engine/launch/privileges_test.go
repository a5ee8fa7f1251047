package launch

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
	"hull/engine/plan"
	"hull/engine/seccomp"
)

// zeros is a device for a container: the kernel's zeros, under another name.
func zeros(path string, uid, gid, mode uint32) Device {
	return Device{Path: path, Mode: unix.S_IFCHR | mode, Major: 1, Minor: 5, UID: uid, GID: gid}
}

func TestGivenDevices(t *testing.T) {
	privileged(t)
	given := []Device{zeros("nothing", 0, 0, 0o600), zeros("of/ann", 1000, 6, 0o640), zeros("of/nobody", 100000, 100000, 0o666), zeros("null", 0, 0, 0o666)}
	const script = `cd /dev; stat -c '%F %t:%T %a %u:%g' nothing of/ann of/nobody; for d in nothing of/ann of/nobody null; do head -c 2 $d | wc -c; done; ls; ls / | grep devices`
	inside := []string{
		"character special file 1:5 600 0:0", "character special file 1:5 640 1000:6", "character special file 1:5 666 0:0", "2", "2", "2", "2",
		"core", "fd", "full", "mqueue", "nothing", "null", "of", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero",
	}
	s := sh(rootfs(t), script+" || true")
	s.Devices = given
	want(t, run(t, s), inside...)
	s.Range = IDRange{}
	inside[2] = "character special file 1:5 666 100000:100000"
	want(t, run(t, s), inside...)
	// Its owner is the one that it says.
	s = sh(rootfs(t), "head -c 2 /dev/of/ann | wc -c; head -c 1 /dev/nothing 2>/dev/null || echo no")
	s.Devices, s.User = given, "ann"
	want(t, run(t, s), "2", "no")
}

func TestDevicesThatAreNone(t *testing.T) {
	privileged(t)
	for _, d := range []Device{
		{}, {Path: "x", Mode: unix.S_IFREG | 0o666}, zeros("../x", 0, 0, 0), zeros("a/../../x", 0, 0, 0), zeros("/x", 0, 0, 0), zeros("x/", 0, 0, 0), zeros("", 0, 0, 0),
	} {
		s := spec(rootfs(t), "true")
		s.Devices = []Device{d}
		refused(t, s, Invalid)
	}
}

// sysctls are names, each with its value.
func sysctls(pairs ...string) (all []Sysctl) {
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, Sysctl{Name: pairs[i], Value: pairs[i+1]})
	}
	return all
}

func TestSysctls(t *testing.T) {
	privileged(t)
	s := sh(rootfs(t), "cd /proc/sys; cat net/ipv4/ip_forward net/ipv4/ip_unprivileged_port_start kernel/msgmax fs/mqueue/msg_max")
	s.Sysctls = sysctls("net.ipv4.ip_forward", "1", "net.ipv4.ip_unprivileged_port_start", "1024", "kernel.msgmax", "9000", "fs.mqueue.msg_max", "20")
	want(t, run(t, s), "1", "1024", "9000", "20")
	s.Range = IDRange{}
	want(t, run(t, s), "1", "1024", "9000", "20")
	for _, bad := range sysctls("net.ipv4.no_such_thing", "1", "net.ipv4.ip_forward", "many") {
		s := spec(rootfs(t), "true")
		s.Sysctls = []Sysctl{bad}
		if e := refused(t, s, Invalid); !strings.Contains(e.Text, bad.Name) {
			t.Errorf("the sentence is %q", e.Text)
		}
	}
	s = spec(rootfs(t), "true")
	s.Sysctls = sysctls("net/../../../x", "1")
	refused(t, s, Invalid)
}

func TestPrivileged(t *testing.T) {
	privileged(t)
	dir := rootfs(t)
	must(t, unix.Mknod(dir+"/tmp/zero", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))))
	s := sh(dir, `head -c 2 /tmp/zero | wc -c; grep ' ro,' /proc/self/mountinfo | grep -vc cgroup; (echo 1 > /proc/sys/net/ipv4/ip_forward) && echo wrote; mount -t tmpfs none /root && echo mounted; grep Seccomp: /proc/self/status`)
	s.Privileged, s.Range, s.Masked, s.ReadOnlyPaths, s.Seccomp, s.NoNewPrivileges = true, IDRange{}, []string{}, []string{}, nil, false
	own, err := sys.Capabilities()
	must(t, err)
	s.Capabilities = plan.CapabilityNames(own)
	want(t, run(t, s), "2", "0", "wrote", "mounted", "Seccomp:\t0")
	s.Range = testRange
	refused(t, s, Invalid)
}

func TestInit(t *testing.T) {
	privileged(t)
	dir := rootfs(t)
	show := `cat /proc/1/cmdline | tr '\0' ' '; echo; echo $$ $0; cat /proc/1/comm; grep -E '^(CapEff|NoNewPrivs|Seccomp:)' /proc/1/status; ls /proc/1/fd; exit 9`
	s := spec(dir, "sh", "-c", show, "name")
	s.Init = true
	l := &Launcher{}
	defer l.Close()
	out, code := start(t, l, s).end(t)
	want(t, out, "init /bin/sh sh -c "+show+" name ", "2 name", "init", "CapEff:\t00000000800405fb", "NoNewPrivs:\t1", "Seccomp:\t2", "0", "1", "2")
	if code != 9 {
		t.Errorf("exit code %d", code)
	}
	t.Run("signals", func(t *testing.T) {
		s := sh(dir, "trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.01; done")
		s.Init = true
		r, w, err := os.Pipe()
		must(t, err)
		defer r.Close()
		defer w.Close()
		s.Stdout = w
		p, err := l.Park(within(t), s)
		must(t, err)
		c := launched(t, p, r)
		_ = w.Close()
		must(t, sys.Signal(c.Pidfd(), unix.SIGTERM))
		if _, code := c.end(t); code != 3 && code != 128+15 { // before or after the shell has set its trap
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("terminal", func(t *testing.T) {
		s := sh(dir, "trap 'echo got; exit 3' INT; echo ready; while :; do sleep 0.01; done")
		s.Init, s.TTY, s.Rows, s.Cols = true, true, 20, 80
		c := start(t, l, s)
		_, err := c.Pty().WriteString("\x03") // whatever has the terminal then gets it
		must(t, err)
		if _, code := c.end(t); code != 3 && code != 128+2 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("no interpreter", func(t *testing.T) {
		write(t, dir, "bin/script", "#!/no/such/interpreter\n")
		must(t, os.Chmod(dir+"/bin/script", 0o755))
		s := spec(dir, "script")
		s.Init = true
		out, code := start(t, l, s).end(t)
		want(t, out, "init: cannot execute /bin/script")
		if code != 127 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("working directory", func(t *testing.T) {
		for _, d := range []string{"/proc/self/fd/3", "/proc/self/fd/4", "/proc/self/fd/5"} {
			s := spec(dir, "true")
			s.Init, s.Dir = true, d
			refused(t, s, Invalid)
		}
	})
}

// TestOwnProfile has the container run under a profile of a user's.
func TestOwnProfile(t *testing.T) {
	privileged(t)
	profile, err := seccomp.Parse(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}`)
	must(t, err)
	s := sh(rootfs(t), "mkdir /tmp/x 2>&1; touch /tmp/y && echo made")
	s.Seccomp = profile
	want(t, run(t, s), "mkdir: can't create directory '/tmp/x': No space left on device", "made")
	// One under which nothing can be executed fails the start, and says so.
	profile, err = seccomp.Parse(`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","write","exit_group"],"action":"SCMP_ACT_ALLOW"}]}`)
	must(t, err)
	s.Seccomp = profile
	l := &Launcher{}
	defer l.Close()
	p, err := l.Park(within(t), s)
	if err == nil {
		err = p.Run(within(t))
		p.Abort()
		_ = p.Close()
	}
	var e *Error
	if !errors.As(err, &e) || e.Text == "" {
		t.Errorf("it runs, or fails with %v", err)
	}
}
