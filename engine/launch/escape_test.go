package launch

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
)

// refused parks a container that must not come to be, and sees that nothing
// is left of it.
func refused(t *testing.T, s Spec, kind Kind) *Error {
	t.Helper()
	l := &Launcher{}
	defer l.Close()
	p, err := l.Park(within(t), s)
	if err == nil {
		p.Abort()
		_ = p.Close()
		t.Fatal("it started")
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("an error of type %T: %v", err, err)
	}
	if e.Kind != kind {
		t.Errorf("kind %d, want %d: %v", e.Kind, kind, err)
	}
	if e.Text == "" {
		t.Errorf("no sentence: %v", err)
	}
	if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); !errors.Is(err, unix.ECHILD) {
		t.Errorf("a process is left: %v", err)
	}
	return e
}

// A directory of the host that an image points to.
func victim(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "victim")
	must(t, os.Mkdir(dir, 0o777))
	write(t, dir, "file", "untouched")
	return dir
}

func untouched(t *testing.T, dir string) {
	t.Helper()
	names, err := os.ReadDir(dir)
	must(t, err)
	b, err := os.ReadFile(filepath.Join(dir, "file"))
	must(t, err)
	if len(names) != 1 || string(b) != "untouched" {
		t.Errorf("the host's directory has %v, its file %q", names, b)
	}
}

func link(t *testing.T, dir, name, target string) {
	t.Helper()
	must(t, os.RemoveAll(filepath.Join(dir, name)))
	must(t, os.Symlink(target, filepath.Join(dir, name)))
}

func TestMountPointsThatAreLinks(t *testing.T) {
	privileged(t)
	out := victim(t)
	for _, name := range []string{"proc", "sys", "dev"} {
		for _, target := range []string{out, "../../../../../.." + out, "tmp", "/proc/self/root"} {
			dir := rootfs(t)
			link(t, dir, name, target)
			refused(t, spec(dir, "true"), Hostile)
		}
		dir := rootfs(t)
		write(t, dir, name, "a file")
		refused(t, spec(dir, "true"), Hostile)
	}
	untouched(t, out)
}

func TestBoundFilesThatAreLinks(t *testing.T) {
	privileged(t)
	out := victim(t)
	hosts := map[string][]byte{"/etc/hosts": []byte("ours\n")}
	for _, target := range []string{filepath.Join(out, "file"), filepath.Join(out, "new"), "../../../../../.." + out + "/file", "/proc/self/root/etc/hosts", "nowhere/at/all"} {
		dir := rootfs(t)
		link(t, dir, "etc/hosts", target)
		s := sh(dir, "cat /etc/hosts; test -L /etc/hosts && echo link; echo x > /etc/hosts")
		s.Files = hosts
		want(t, run(t, s), "ours")
	}
	for _, name := range []string{"etc", "etc/hosts"} {
		dir := rootfs(t)
		must(t, os.RemoveAll(filepath.Join(dir, name)))
		must(t, os.MkdirAll(filepath.Join(dir, name, "hosts"), 0o755)) // a directory in the place of the file
		s := spec(dir, "true")
		s.Files = hosts
		refused(t, s, Hostile)
	}
	dir := rootfs(t)
	link(t, dir, "etc", out)
	s := spec(dir, "true")
	s.Files = hosts
	refused(t, s, Hostile)
	untouched(t, out)
}

func TestWorkingDirectory(t *testing.T) {
	privileged(t)
	out := victim(t)
	for _, d := range []string{"/proc/self/fd/3", "/proc/self/fd/4", "/proc/self/fd/5", "/proc/self/cwd", "/proc/1/root", "/proc/self/root/../../tmp/x", "/etc/passwd", "/etc/passwd/x", "/loop/x"} {
		dir := rootfs(t)
		link(t, dir, "loop", "loop")
		s := spec(dir, "true")
		s.Dir = d
		if d == "/proc/self/root/../../tmp/x" { // names only, once it is clean
			s.Dir = "/proc/self/root/tmp"
		}
		refused(t, s, Invalid)
	}
	for _, target := range []string{out, "../../../../.." + out} {
		dir := rootfs(t)
		link(t, dir, "away", target)
		s := sh(dir, "pwd")
		s.Dir = "/away/made"
		e := refused(t, s, Invalid) // it leads to where nothing is, inside
		if !strings.Contains(e.Text, "/away/made") {
			t.Errorf("the sentence is %q", e.Text)
		}
	}
	dir := rootfs(t)
	link(t, dir, "inner", "/tmp")
	s := sh(dir, "pwd -P")
	s.Dir = "/inner/a/b"
	want(t, run(t, s), "/tmp/a/b")
	untouched(t, out)
}

func TestAccountsThatAreNone(t *testing.T) {
	privileged(t)
	for what, make := range map[string]func(t *testing.T, name string){
		"pipe":      func(t *testing.T, name string) { must(t, unix.Mkfifo(name, 0o644)) },
		"directory": func(t *testing.T, name string) { must(t, os.Mkdir(name, 0o755)) },
		"device":    func(t *testing.T, name string) { must(t, unix.Mknod(name, unix.S_IFCHR|0o644, int(unix.Mkdev(1, 5)))) },
		"circle":    func(t *testing.T, name string) { must(t, os.Symlink(filepath.Base(name), name)) },
		"huge": func(t *testing.T, name string) {
			f, err := os.Create(name)
			must(t, err)
			must(t, f.Truncate(1<<40))
			must(t, f.Close())
		},
		"magic": func(t *testing.T, name string) { must(t, os.Symlink("/proc/self/fd/0", name)) },
	} {
		t.Run(what, func(t *testing.T) {
			dir := rootfs(t)
			name := filepath.Join(dir, "etc/passwd")
			must(t, os.Remove(name))
			make(t, name)
			s := spec(dir, "id", "-u")
			s.User = "ann"
			kind := Hostile
			if what == "magic" { // inside there is nothing
				kind = Invalid
			}
			refused(t, s, kind)
			s.User, s.Args = "1000", []string{"true"} // id would read it
			want(t, run(t, s), "")
		})
	}
}

func TestPasswdOfTheHost(t *testing.T) {
	privileged(t)
	dir := rootfs(t)
	host := filepath.Join(t.TempDir(), "passwd")
	must(t, os.WriteFile(host, []byte("eve:x:77:77::/:/bin/sh\n"), 0o644))
	link(t, dir, "etc/passwd", host)
	s := spec(dir, "true")
	s.User = "eve"
	refused(t, s, Invalid)
}

func TestSelfExe(t *testing.T) {
	privileged(t)
	dir := rootfs(t)
	// CVE-2019-5736: the image has the runtime execute itself.
	link(t, dir, "bin/evil", "/proc/self/exe")
	refused(t, spec(dir, "evil"), NotFound)
	refused(t, spec(dir, "/proc/self/exe"), NotFound)

	l := &Launcher{}
	defer l.Close()
	p, err := l.Park(within(t), spec(dir, "true"))
	must(t, err)
	defer p.Close()
	defer p.Abort()
	exe := p.proc("exe")
	if name, err := os.Readlink(exe); err != nil || !strings.Contains(name, "memfd:hull-init") {
		t.Errorf("the stub is %q, %v", name, err)
	}
	f, err := os.Open(exe)
	must(t, err)
	defer f.Close()
	const all = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0); err != nil || seals&all != all {
		t.Errorf("its seals are %#x, %v", seals, err)
	}
	if w, err := os.OpenFile(exe, os.O_WRONLY, 0); err == nil {
		if _, err = w.Write([]byte("x")); err == nil {
			t.Error("it can be written to")
		}
		_ = w.Close()
	}
}

func TestStubCannotBeTouched(t *testing.T) {
	privileged(t)
	l := &Launcher{}
	defer l.Close()
	dir := rootfs(t)
	c := start(t, l, spec(dir, "sleep", "1000"))
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	defer w.Close()
	p, err := l.Exec(within(t), Target{Pidfd: c.Pidfd(), Range: testRange}, ExecSpec{Args: []string{"true"}, Env: []string{"PATH=/bin"}, Stdout: w})
	must(t, err)
	defer p.Close()
	defer p.Abort()
	// A parked exec is in the container's pid namespace: the only process
	// that is neither PID 1 nor the shell's.
	script := `for p in /proc/[0-9]*; do n=${p#/proc/}; test $n = 1 -o $n = $$ && continue; test -d $p || continue; ls $p/fd >/dev/null 2>&1 && echo "fds of $n"; readlink $p/exe $p/cwd $p/root 2>/dev/null; (head -c 1 $p/mem) 2>/dev/null; (echo x > $p/oom_score_adj) 2>/dev/null; done; echo done`
	out, _ := exec(t, l, c, ExecSpec{Args: []string{"sh", "-c", script}}).end(t)
	want(t, out, "done")
}

func TestTerminalThatIsNone(t *testing.T) {
	privileged(t)
	for what, make := range map[string]func(dir string) error{
		"file": func(dir string) error { return os.WriteFile(dir+"/dev/pts/ptmx", nil, 0o666) },
		"link": func(dir string) error { return os.Symlink("/dev/ptmx", dir+"/dev/pts/ptmx") },
		"device": func(dir string) error {
			return unix.Mknod(dir+"/dev/pts/ptmx", unix.S_IFCHR|0o666, int(unix.Mkdev(5, 2)))
		},
		"parent": func(dir string) error {
			return errors.Join(os.Remove(dir+"/dev/pts"), os.Symlink("/dev/pts", dir+"/dev/pts"))
		},
		"missing": func(string) error { return nil },
	} {
		dir := t.TempDir()
		must(t, os.MkdirAll(dir+"/dev/pts", 0o755))
		must(t, make(dir))
		root, err := os.Open(dir)
		must(t, err)
		master, slave, err := openPty(&tree{dir: root}, 0)
		if err == nil {
			t.Errorf("%s is taken for a terminal", what)
			_ = master.Close()
			_ = slave.Close()
		}
		if e := new(Error); !errors.As(err, &e) || e.Kind != Hostile {
			t.Errorf("%s: %v is not the container's doing", what, err)
		}
		_ = root.Close()
	}
}

func TestCannotReachTheHost(t *testing.T) {
	privileged(t)
	l := &Launcher{}
	defer l.Close()
	c := start(t, l, sh(rootfs(t), `ls /proc/1/root/; cd /; cd ../../..; pwd; kill -0 2 2>/dev/null || echo alone; hostname evil 2>/dev/null; echo done`))
	out, _ := c.end(t)
	if !strings.HasSuffix(out, "/\nalone\ndone\n") {
		t.Errorf("got %q", out)
	}
	if !sys.Exited(c.Pidfd()) {
		t.Error("it goes on")
	}
}

func TestDevicesInTheImage(t *testing.T) {
	privileged(t)
	dir := rootfs(t)
	must(t, unix.Mknod(filepath.Join(dir, "tmp/zero"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))))
	must(t, os.Chmod(filepath.Join(dir, "tmp/zero"), 0o666))
	s := sh(dir, "head -c 1 /tmp/zero >/dev/null 2>&1 || echo no")
	want(t, run(t, s), "no")
	s.Range = IDRange{}
	want(t, run(t, s), "no")
}

func TestAbstractSockets(t *testing.T) {
	privileged(t)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: "@hull-launch-test"}))
	must(t, unix.Listen(fd, 1))
	own, err := os.ReadFile("/proc/net/unix")
	must(t, err)
	if !strings.Contains(string(own), "@hull-launch-test") {
		t.Fatal("the socket is not even seen here")
	}
	want(t, run(t, sh(rootfs(t), "grep -c hull-launch-test /proc/net/unix; true")), "0")
}

func TestFullRoot(t *testing.T) {
	privileged(t)
	s := spec("", "/command")
	var unmapped error
	s.Root = func(users *os.File) (*os.File, error) {
		fs, err := sys.OpenFileSystem("tmpfs")
		if err != nil {
			return nil, err
		}
		defer fs.Close()
		must(t, unix.FsconfigSetString(int(fs.Fd()), "nr_inodes", "3"))
		root, err := sys.CreateMount(fs)
		if err != nil {
			return nil, err
		}
		fd, err := unix.Openat(int(root.Fd()), "command", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o755)
		must(t, err)
		must(t, unix.Close(fd))
		attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(users.Fd())}
		if unmapped = unix.MountSetattr(int(root.Fd()), "", unix.AT_EMPTY_PATH, attr); unmapped != nil {
			return nil, unmapped
		}
		return root, nil
	}
	if p, err := (&Launcher{}).Park(within(t), s); err == nil {
		p.Abort()
		t.Fatal("a root without room was taken")
	}
	if unmapped != nil {
		t.Skipf("a tmpfs cannot be id-mapped here (Linux 6.3 can): %v", unmapped)
	}
	refused(t, s, Space) // there is no room for /sys
}
