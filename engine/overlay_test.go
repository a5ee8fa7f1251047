package engine

import (
	"context"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/cgroup"
	"hull/tests/need"
)

// overlayRoots makes real overlays of one directory.
type overlayRoots struct {
	*testRoots
	lower string
}

func (r *overlayRoots) Mount(_ context.Context, _ string, upper, users *os.File, base uint32, _ bool) (*os.File, error) {
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fs)
	empty, err := os.MkdirTemp(r.dir, "empty")
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{r.lower, empty} { // a read-only overlay wants two
		fd, err := mapped(dir, users)
		if err != nil {
			return nil, err
		}
		defer unix.Close(fd)
		if err := unix.FsconfigSetFd(fs, "lowerdir+", fd); err != nil {
			return nil, err
		}
	}
	if upper != nil {
		disk, err := mapped(upper.Name(), users)
		if err != nil {
			return nil, err
		}
		defer unix.Close(disk)
		for option, name := range map[string]string{"upperdir": "upper", "workdir": "work"} {
			if err := os.Mkdir(filepath.Join(upper.Name(), name), 0o755); err != nil && !os.IsExist(err) {
				return nil, err
			}
			fd, err := unix.Openat(disk, name, unix.O_PATH|unix.O_CLOEXEC|unix.O_DIRECTORY, 0)
			if err != nil {
				return nil, err
			}
			defer unix.Close(fd)
			if err := unix.FsconfigSetFd(fs, option, fd); err != nil {
				return nil, err
			}
		}
	}
	if err := as(int(base), func() error { return unix.FsconfigCreate(fs) }); err != nil {
		return nil, err
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "root"), nil
}

// mapped makes a second mount of a directory, whose ids are mapped by a user namespace if there is one.
func mapped(dir string, users *os.File) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil || users == nil {
		return fd, err
	}
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(users.Fd())}
	return fd, unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, attr)
}

// as does something with the file system ids of a container.
func as(id int, do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		err := unix.Capget(&hdr, &data[0])
		if err == nil {
			_, _ = unix.SetfsgidRetGid(id)
			_, _ = unix.SetfsuidRetUid(id)
			err = unix.Capset(&hdr, &data[0])
		}
		if err == nil {
			err = do()
		}
		done <- err
	}()
	return <-done
}

// privileged skips a test that needs root, unless it must not be skipped.
func privileged(t *testing.T) {
	t.Helper()
	need.Root(t, "it makes namespaces and mounts")
}

// boxRoot makes a root file system whose commands are this test binary.
func boxRoot(t *testing.T) string {
	t.Helper()
	layered(t)
	dir := t.TempDir()
	for _, d := range []string{"bin", "etc", "tmp", "srv"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "etc", "passwd"), []byte("root:x:0:0::/root:/bin/sh\napp:x:7:7::/srv:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	copyBox(t, filepath.Join(dir, "bin", "box"))
	return dir
}

// copyBox puts this test binary where a container can run it: a static one, which under the race detector it is not.
func copyBox(t *testing.T, to string) {
	t.Helper()
	exe, err := elf.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	static := !slices.ContainsFunc(exe.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
	exe.Close()
	if !static {
		cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", to, ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return
	}
	data, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

// layered skips a test on a kernel before 6.15, whose overlay takes no detached layers: what hull does there is not in
// this package, and overlayRoots cannot do it.
func layered(t *testing.T) {
	t.Helper()
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fs)
	layer, err := mapped(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(layer)
	if err := unix.FsconfigSetFd(fs, "lowerdir+", layer); err != nil {
		t.Skipf("this kernel's overlay takes no detached layers: %v", err)
	}
}

// realRealm is a realm of real containers.
func realRealm(t *testing.T) *realm {
	t.Helper()
	privileged(t)
	return newRealm(t, boxRoot(t))
}

// box is the settings of a container that runs the test binary.
func box(command string, more ...string) map[string]string {
	set := map[string]string{"command": "box " + command, "env": roleVar + "=plain\nPATH=/bin\n", "stop_timeout": "0"}
	for i := 0; i+1 < len(more); i += 2 {
		set[more[i]] = more[i+1]
	}
	return set
}

func TestRealContainer(t *testing.T) {
	r := realRealm(t)
	a := r.do(order{Do: "run", Name: "web", Settings: box("sleep", "command", "nosuch")})
	if a.Kind != NotCommand || len(a.Containers) != 0 {
		t.Fatalf("%+v", a)
	}
	a = r.do(order{Do: "run", Name: "web", Settings: box("sleep", "command", "/etc/passwd")})
	if a.Kind != NotExecutable || len(a.Containers) != 0 {
		t.Fatalf("%+v", a)
	}
	r.well(order{Do: "run", Name: "web", Settings: box("sleep")})
	a = r.well(order{Do: "commands", Name: "web"})
	if !slices.Equal(a.Events, []string{"box"}) {
		t.Errorf("commands %q", a.Events)
	}
	a = r.well(order{Do: "browse", Name: "web", Text: "made"})
	if !slices.Contains(a.Events, "made 7") || !slices.Contains(a.Events, "bin 0") || !slices.Contains(a.Events, "etc 0") {
		t.Errorf("the view shows %q", a.Events)
	}
	if a := r.do(order{Do: "exec", Name: "web", Text: "box exit 3"}); a.Err != "exit 3" {
		t.Errorf("%+v", a)
	}
	r.well(order{Do: "exec", Name: "web", Text: "box exit 0"})
	if a := r.do(order{Do: "exec", Name: "web", Text: "nosuch"}); a.Kind != NotCommand {
		t.Errorf("%+v", a)
	}
	r.well(order{Do: "pause", Name: "web"})
	if a := r.do(order{Do: "exec", Name: "web", Text: "box exit 0"}); a.Kind != Busy {
		t.Errorf("%+v", a)
	}
	r.well(order{Do: "unpause", Name: "web"})
	r.well(order{Do: "pause", Name: "web"})
	r.well(order{Do: "stop", Name: "web"})
	a = r.well(order{Do: "list"})
	if c := a.Containers[0]; c.State != Exited || len(a.Held) != 0 {
		t.Errorf("%+v", a)
	}
	a = r.well(order{Do: "commands", Name: "web"})
	if !slices.Equal(a.Events, []string{"box"}) {
		t.Errorf("commands %q of a stopped container", a.Events)
	}
	a = r.well(order{Do: "browse", Name: "web", Text: "later"})
	if !slices.Contains(a.Events, "made 7") || !slices.Contains(a.Events, "later 7") {
		t.Errorf("the view shows %q", a.Events)
	}
	a = r.well(order{Do: "changes", Name: "web"})
	var made []string
	for _, line := range a.Events {
		if strings.HasPrefix(line, "A ") {
			made = append(made, line)
		}
	}
	if !slices.Contains(made, "A /made") || !slices.Contains(made, "A /later") {
		t.Errorf("changes %q", a.Events)
	}
	r.well(order{Do: "start", Name: "web"})
	r.well(order{Do: "remove", Name: "web"})
	r.settled(fate{states: []State{"gone"}})
}

// Whoever looks into a stopped container's files goes on looking at them when it starts: there is one overlay, not two.
func TestRealViewOutlivesStart(t *testing.T) {
	r := realRealm(t)
	r.well(order{Do: "create", Name: "web", Settings: box("sleep")})
	r.well(order{Do: "hold", Name: "web"})
	for range 2 {
		r.well(order{Do: "start", Name: "web"})
		r.well(order{Do: "held", Name: "web"})
		r.well(order{Do: "stop", Name: "web"})
	}
	a := r.well(order{Do: "browse", Name: "web", Text: "made"})
	if !slices.Contains(a.Events, "made 7") {
		t.Errorf("the view shows %q", a.Events)
	}
	r.well(order{Do: "remove", Name: "web"})
	r.well(order{Do: "release"})
	r.settled(fate{states: []State{"gone"}})
}

// A daemon's death is nothing to a real container either; what has to be found again is.
func TestRealDaemonKilled(t *testing.T) {
	r := realRealm(t)
	r.well(order{Do: "run", Name: "web", Settings: box("sleep")})
	before := r.well(order{Do: "list"}).Containers[0]
	r.kill()
	if got := r.well(order{Do: "list"}).Containers[0]; got != before {
		t.Fatalf("%+v was %+v", got, before)
	}
	r.well(order{Do: "exec", Name: "web", Text: "box exit 0"})
	a := r.well(order{Do: "browse", Name: "web", Text: "made"})
	if !slices.Contains(a.Events, "made 7") || !slices.Contains(a.Events, "bin 0") {
		t.Errorf("the view shows %q", a.Events)
	}
	r.well(order{Do: "pause", Name: "web"})
	r.well(order{Do: "remove", Name: "web"})
	r.settled(fate{states: []State{"gone"}})
}

// warm has the daemons of a test keep processes ready.
func warm(t *testing.T, count string) { t.Setenv("HULL_WARM", count) }

// filled waits until a daemon has as many ready as it should, and names their cgroups.
func (r *realm) filled(count int) []string {
	r.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		a := r.well(order{Do: "warm"})
		if len(a.Events) == count {
			return a.Events
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("ready are %q", a.Events)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// A container that begins with a process made beforehand is like any other, to the next daemon too; what was ready when
// a daemon died is gone.
func TestRealWarm(t *testing.T) {
	privileged(t)
	warm(t, "2")
	r := realRealm(t)
	ready := r.filled(2)
	r.well(order{Do: "run", Name: "web", Settings: box("sleep")})
	group := r.well(order{Do: "group", Name: "web"}).Events[0]
	if !slices.Contains(ready, group) {
		t.Errorf("it runs in %s, ready were %q", group, ready)
	}
	ready = r.filled(2)
	r.well(order{Do: "exec", Name: "web", Text: "box exit 0"})
	r.kill()
	for _, g := range r.filled(2) {
		if slices.Contains(ready, g) {
			t.Errorf("the next daemon has %s, which died with the last", g)
		}
	}
	if again := r.well(order{Do: "group", Name: "web"}).Events[0]; again != group {
		t.Errorf("the cgroup is %s, it was %s", again, group)
	}
	r.well(order{Do: "exec", Name: "web", Text: "box exit 0"})
	r.well(order{Do: "pause", Name: "web"})
	r.well(order{Do: "remove", Name: "web"})
	r.settled(fate{states: []State{"gone"}})
	r.end()
	if left := r.groups(); len(left) > 0 {
		t.Errorf("cgroups are left: %q", left)
	}
}

// groups are the cgroups of the realm's containers.
func (r *realm) groups() []string {
	r.t.Helper()
	host, err := cgroup.Detect()
	if err != nil {
		r.t.Fatal(err)
	}
	names, err := host.Tree("test" + filepath.Base(r.dir)).List()
	if err != nil {
		r.t.Fatal(err)
	}
	return names
}

// TestRealCrash is TestCrash's starts with real processes: what the stub does when the daemon dies is not pretended.
func TestRealCrash(t *testing.T) { crashes(t, 0) }

// TestRealWarmCrash is the same with processes that were made beforehand.
func TestRealWarmCrash(t *testing.T) { crashes(t, 1) }

func crashes(t *testing.T, ready int) {
	privileged(t)
	root := boxRoot(t)
	warm(t, strconv.Itoa(ready))
	for _, p := range []point{startNoted, startCgroup, startParked, startAdopted, startReleased, startWritten} {
		t.Run(string(p), func(t *testing.T) {
			r := newRealm(t, root)
			r.filled(ready)
			r.well(order{Do: "arm", Text: string(p)})
			r.dies(order{Do: "run", Name: "web", Settings: box("sleep")})
			want := fate{states: []State{"gone"}}
			if p == startReleased || p == startWritten {
				want = fate{states: []State{Up}, env: box("")["env"]}
			}
			r.settled(want)
			if r.is("gone") {
				r.well(order{Do: "run", Name: "web", Settings: box("sleep")})
			}
		})
	}
}
