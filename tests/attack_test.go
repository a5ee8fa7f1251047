package tests

import (
	"archive/tar"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sys/unix"

	"hull/tests/image"
)

// attacker is a mounted hull with an image of attacks (tests/attack).
type attacker struct {
	*victim
	program []byte
}

// attacks and attacks32 are the program, which is built once, for either kind of system calls.
var (
	attacks   = sync.OnceValues(func() ([]byte, error) { return attacksFor("amd64") })
	attacks32 = sync.OnceValues(func() ([]byte, error) { return attacksFor("386") })
)

func attacksFor(arch string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "hull-attack-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", dir+"/attack", "hull/tests/attack")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+arch)
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the attacks: %w: %s", err, out)
	}
	return os.ReadFile(dir + "/attack")
}

// newAttacker makes the image attack:1: the host's programs, the attacks, and all
// that an image can bring to help them.
func newAttacker(t *testing.T) *attacker {
	t.Helper()
	needs(t)
	program, err := attacks()
	if err != nil {
		t.Fatal(err)
	}
	a := &attacker{newVictim(t), program}
	// What a file capability may give: all of the lower 32, permitted and effective.
	capable := "\x01\x00\x00\x02\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	files := []image.File{
		{Name: "attack/", Mode: 0o755},
		{Name: "attack/dev/", Mode: 0o755},
		{Name: "attack/attack", Mode: 0o755, Body: program},
		{Name: "attack/setuid", Mode: 0o6755, Body: program},
		{Name: "attack/capable", Mode: 0o755, Body: program, Xattrs: map[string]string{"security.capability": capable}},
		{Name: "attack/exe", Mode: 0o777, Type: tar.TypeSymlink, Link: "/proc/self/exe"},
		{Name: "attack/script", Mode: 0o755, Body: []byte("#!/proc/self/exe\n")},
	}
	for _, d := range []struct {
		name         string
		kind         byte
		major, minor int64
	}{
		{"mem", tar.TypeChar, 1, 1},
		{"port", tar.TypeChar, 1, 4},
		{"kmsg", tar.TypeChar, 1, 11},
		{"fuse", tar.TypeChar, 10, 229},
		{"tun", tar.TypeChar, 10, 200},
		{"loop-control", tar.TypeChar, 10, 237},
		{"kvm", tar.TypeChar, 10, 232},
		{"tty1", tar.TypeChar, 4, 1},
		{"disk", tar.TypeBlock, 8, 0},
		{"vda", tar.TypeBlock, 254, 0},
		{"loop0", tar.TypeBlock, 7, 0},
	} {
		files = append(files, image.File{Name: "attack/dev/" + d.name, Mode: 0o666, Type: d.kind, Device: [2]int64{d.major, d.minor}})
	}
	a.image(t, "attack", nil, files...)
	a.must(t, fmt.Sprintf("mkdir -p images/%[1]s/attack:1 && images/%[1]s/attack:1/wait", addr))
	return a
}

// image pushes an image of the host's programs and a layer of files, as NAME:1.
func (a *attacker) image(t *testing.T, repo string, config func(*v1.Config), files ...image.File) {
	t.Helper()
	base, err := name.ParseReference(addr+"/host:1", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(base)
	if err != nil {
		t.Fatal(err)
	}
	tarred, err := image.Tar(files)
	if err != nil {
		t.Fatal(err)
	}
	layer, err := image.Gzip(tarred)
	if err != nil {
		t.Fatal(err)
	}
	if img, err = mutate.AppendLayers(img, layer); err != nil {
		t.Fatal(err)
	}
	if config != nil {
		file, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		file = file.DeepCopy()
		config(&file.Config)
		if img, err = mutate.ConfigFile(img, file); err != nil {
			t.Fatal(err)
		}
	}
	if err := image.Push(addr, map[string]any{repo + ":1": img}); err != nil {
		t.Fatal(err)
	}
}

// repelled demands that of the attacks in an output none was done, and that there are so many of them.
func repelled(t *testing.T, out string, least int) {
	t.Helper()
	refused, done := 0, false
	for line := range strings.Lines(out) {
		switch f := strings.Fields(line); {
		case len(f) > 1 && f[1] == "refused":
			refused++
		case len(f) > 1 && f[1] == "DONE":
			t.Errorf("it was done: %s", line)
			done = true
		}
	}
	if refused < least || done {
		t.Errorf("%d attacks were refused, of at least %d:\n%s", refused, least, out)
	}
}

// most is less than how many attacks there are.
const most = 150

// TestAttacks tries what a process can do in a container, as the first one, as a session, as root and as somebody else,
// with a terminal and without; and then what it can do to others.
func TestAttacks(t *testing.T) {
	a := newAttacker(t)
	for _, how := range []string{"", "-u app", "-t", "--init --tmpfs /run", "--cap-drop ALL --read-only", "--userns host"} {
		t.Run("run "+how, func(t *testing.T) {
			repelled(t, a.out(t, "./run --rm %s %s/attack:1 /attack/attack", how, addr), most)
		})
	}
	// All capabilities and no filter, in users of its own: it may do with its own namespaces what it likes, and no more.
	t.Run("all capabilities", func(t *testing.T) {
		own := regexp.MustCompile(`^((clone|unshare|mount|socket|keyctl|set(host|domain)name|remount|io-uring|userfaultfd)\b.*|(clone3-user|fsopen|fspick|open-tree|(add|request)-key|personality|raise-capability)) DONE`)
		var out strings.Builder
		for line := range strings.Lines(a.out(t, "./run --rm --cap-add ALL --security-opt seccomp=unconfined %s/attack:1 /attack/attack", addr)) {
			if !own.MatchString(line) {
				out.WriteString(line)
			}
		}
		repelled(t, out.String(), 90)
		// It can have device nodes count as devices; its cgroup then has the say.
		nodes := a.out(t, "./run --rm --cap-add ALL --security-opt seccomp=unconfined %s/attack:1 /attack/attack remount-root-dev image-vda image-disk image-loop0 image-mem image-port image-kmsg image-fuse image-tun image-kvm image-loop-control", addr)
		first, rest, _ := strings.Cut(nodes, "\n")
		if first != "remount-root-dev DONE" {
			t.Errorf("the nodes are none: %s", first)
		}
		repelled(t, rest, 10)
	})
	t.Run("32 bits", func(t *testing.T) {
		program, err := attacks32()
		if err != nil {
			t.Fatal(err)
		}
		file := t.TempDir() + "/attack"
		if err := os.WriteFile(file, program, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := exec.Command(file, "whoami").Run(); err != nil {
			t.Skipf("this kernel runs no programs of 32 bits: %v", err)
		}
		a.image(t, "attack32", nil, image.File{Name: "attack", Mode: 0o755, Body: program})
		a.must(t, fmt.Sprintf("mkdir -p images/%[1]s/attack32:1 && images/%[1]s/attack32:1/wait", addr))
		repelled(t, a.out(t, "./run --rm %s/attack32:1 /attack", addr), most)
	})
	a.must(t, fmt.Sprintf("./run -d --init --name a %s/attack:1 sleep 1000", addr))
	a.must(t, fmt.Sprintf("./run -d --init --name b %s/attack:1 sleep 1000", addr))
	t.Run("exec", func(t *testing.T) {
		repelled(t, a.out(t, "containers/a/exec/sh -c /attack/attack"), most)
	})
	t.Run("processes", func(t *testing.T) {
		repelled(t, a.out(t, "containers/a/exec/sh -c '/attack/attack others %d %s %s %d'", a.one(t), a.out(t, "cat containers/b/pid"), a.out(t, "cat containers/a/pid"), os.Getpid()), 24)
	})
	t.Run("sockets", func(t *testing.T) {
		l, err := net.Listen("unix", "@"+filepath.Base(a.base))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		repelled(t, a.out(t, "containers/a/exec/sh -c '/attack/attack abstract %s'", filepath.Base(a.base)), 2)
	})
}

// out is what a line of shell prints; the attacks' own exit status counts for nothing.
func (a *attacker) out(t *testing.T, format string, args ...any) string {
	t.Helper()
	out, err := a.shell(fmt.Sprintf(format, args...))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.TrimSpace(out)
}

// TestWhoeverEnters: a process in the container looks at every other that appears, and tries to get hold of what the
// sessions bring with them.
func TestWhoeverEnters(t *testing.T) {
	a := newAttacker(t)
	before := digest(t, hull)
	a.must(t, fmt.Sprintf("./run -d --name w %s/attack:1 /attack/attack watch 600", addr))
	a.await(t, "grep begins containers/w/logs")
	for i := range 20 {
		a.must(t, fmt.Sprintf("containers/w/exec/true; containers/w/exec/nosuch%d; containers/w/exec/cat < /dev/null > /dev/null", i)+" || true")
	}
	for _, evil := range []string{"/proc/self/exe", "/attack/exe", "/attack/script"} { // hull's own program, run from inside
		if out, err := a.shell(fmt.Sprintf("./run --rm %s/attack:1 %s version", addr, evil)); err == nil {
			t.Errorf("%s runs: %s", evil, out)
		}
	}
	a.must(t, "containers/w/exec/touch /tmp/enough; containers/w/wait") // whose end may come before touch's own
	repelled(t, a.out(t, "cat containers/w/logs"), 1)
	if digest(t, hull) != before {
		t.Error("hull's program is another")
	}
}

// TestShiftingGround starts sessions while a process inside changes what they are started by. None of them may hang, nor
// be more than what is asked for.
func TestShiftingGround(t *testing.T) {
	a := newAttacker(t)
	a.look(t)
	a.must(t, fmt.Sprintf("./run -d --name g -u root %s/attack:1 /attack/attack shift", addr))
	a.await(t, "grep begins containers/g/logs")
	ran := 0
	for range 60 {
		out, err := a.shell("timeout 60 containers/g/exec/true; echo $?")
		switch code := lastLine(out); {
		case err != nil || code == "124":
			t.Fatalf("a session hangs: %v, %s", err, out)
		case code == "0":
			ran++
		}
		if out, err := a.shell("timeout 60 ls containers/g/exec > /dev/null; timeout 60 cat containers/g/processes containers/g/changes > /dev/null; timeout 60 cat containers/g/exec/sh"); err != nil {
			t.Fatalf("a reader hangs: %v, %s", err, out)
		}
	}
	a.must(t, "touch containers/g/rootfs/tmp/enough && containers/g/wait && grep ends containers/g/logs")
	t.Logf("%d of 60 sessions ran", ran)
	a.must(t, "rm -r containers/g")
	if got := a.around(t); !slices.Equal(got, a.outside) {
		t.Errorf("outside there was\n%s\nand now there is\n%s", strings.Join(a.outside, "\n"), strings.Join(got, "\n"))
	}
}

func lastLine(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return lines[len(lines)-1]
}

func digest(t *testing.T, file string) [32]byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}

// await repeats a line of shell until it succeeds.
func (a *attacker) await(t *testing.T, line string) {
	t.Helper()
	if err := a.poll(func() error { _, err := a.shell(line); return err }); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
}

// swaps is how often that is tried.
const swaps = 60

// TestSwaps starts a container again and again while somebody puts links in the place of what is mounted in it: the
// file system that is browsed is the one that it starts on.
func TestSwaps(t *testing.T) {
	a := newAttacker(t)
	a.look(t)
	a.must(t, fmt.Sprintf("./run --name r --entrypoint /attack/attack %s/attack:1 integrity mount-bind umount-proc-sys read-kcore list-firmware core-pattern sysrq", addr))
	root := a.path("hull") + "/containers/r/rootfs"
	stop, began := make(chan struct{}), make(chan struct{})
	var swapper sync.WaitGroup
	swapper.Go(func() { a.swap(root, stop, began) })
	<-began
	started := 0
	for i := range swaps {
		a.must(t, fmt.Sprintf("echo %t > containers/r/config/tty", i%2 == 0))
		out, err := a.shell("env echo start > containers/r/ctl && containers/r/wait; cat containers/r/error")
		if err == nil && !strings.Contains(out, "write error") {
			started++
		} else if !strings.Contains(out, "Invalid argument") {
			t.Errorf("it fails for another reason: %v, %q", err, out)
		}
	}
	close(stop)
	swapper.Wait()
	t.Logf("it started %d times of %d", started, swaps)
	a.must(t, "containers/r/wait || true")
	repelled(t, a.out(t, "cat containers/r/logs"), 7)
	a.must(t, "rm -r containers/r")
	if got := a.around(t); !slices.Equal(got, a.outside) {
		t.Errorf("outside there was\n%s\nand now there is\n%s", strings.Join(a.outside, "\n"), strings.Join(got, "\n"))
	}
}

// swap puts links in the place of what hull mounts on, and back, until it is stopped.
func (a *attacker) swap(root string, stop, began chan struct{}) {
	once := sync.OnceFunc(func() { close(began) })
	defer once()
	for {
		for _, name := range []string{"dev", "proc", "sys", "etc/hosts", "etc/resolv.conf", "etc/hostname"} {
			select {
			case <-stop:
				return
			default:
			}
			at := root + "/" + name
			target := a.canary + "/d"
			if strings.HasPrefix(name, "etc/") {
				target = a.canary + "/file"
			}
			if unix.Rename(at, at+".kept") != nil {
				continue
			}
			_ = os.Symlink(target, at) // a start may have made it anew
			if unix.Unlink(at) != nil {
				_ = os.RemoveAll(at)
			}
			_ = unix.Rename(at+".kept", at)
			once()
		}
	}
}
