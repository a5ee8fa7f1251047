package layers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// losePower makes the ext4 that dir lies on stop where it is: nothing that was not
// written out gets to the disk any more, neither data nor its journal.
func losePower(dir string) error {
	const ext4IOCShutdown, goingFlagsNoLogFlush = 0x8004587d, 2
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return unix.IoctlSetPointerInt(fd, ext4IOCShutdown, goingFlagsNoLogFlush)
}

// device is an ext4 in a file, which keeps what is not synced in memory for as long
// as it can. Each mount is of a new copy of the file: another process may still have
// the mount before in a namespace of its own, and the kernel would give the file
// system that was stopped again.
type device struct {
	image, dir string
	mounts     int
}

func newDevice(t *testing.T) *device {
	t.Helper()
	needRoot(t)
	d := &device{image: filepath.Join(t.TempDir(), "disk"), dir: t.TempDir()}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skip("this kernel has no loop devices")
	}
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(d.image, 32<<20); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", "-F", "-N", "4096", d.image)
	t.Cleanup(func() { _ = unix.Unmount(d.dir, unix.MNT_DETACH) }) // what a failure left
	d.mount(t)
	return d
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
}

func (d *device) mount(t *testing.T) {
	t.Helper()
	d.mounts++
	fresh := fmt.Sprintf("%s.%d", strings.TrimRight(d.image, ".0123456789"), d.mounts)
	run(t, "cp", "--sparse=always", d.image, fresh)
	if err := os.Remove(d.image); err != nil {
		t.Fatal(err)
	}
	d.image = fresh
	run(t, "mount", "-o", "loop,noauto_da_alloc,data=writeback,commit=600", d.image, d.dir)
}

// umount leaves on the disk what is in memory, unless the power was lost.
func (d *device) umount(t *testing.T) {
	t.Helper()
	fd, err := unix.Open(d.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		_ = unix.Syncfs(fd) // fails if it was
		_ = unix.Close(fd)
	}
	if err := unix.Unmount(d.dir, 0); err != nil {
		t.Fatal(err)
	}
}

// keep copies the disk as it is now, unmounted, and back returns to that.
func (d *device) keep(t *testing.T) { run(t, "cp", "--sparse=always", d.image, d.dir+".kept") }
func (d *device) back(t *testing.T) { run(t, "cp", "--sparse=always", d.dir+".kept", d.image) }

// TestPowerLoss takes the power away at every step of what changes the store, and
// when it is done: what was there before is whole, what was on its way is whole or
// not there, and what was done stays done.
func TestPowerLoss(t *testing.T) {
	d := newDevice(t)
	content := noise(60, 50_000)
	r := newRegistry(t)
	shared := layerOf(t, file{name: "file0", content: content})
	r.push(t, "acme/app:1", imageOf(t, shared))
	r.push(t, "acme/app:2", imageOf(t, shared, layerOf(t, file{name: "file1", content: content}, file{name: "hard", link: "file0"})))
	here, there := r.ref("acme/app:1"), r.ref("acme/app:2")
	saved := filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(saved, dockerArchive(t, "docker.io/library/loaded:1", imageOf(t, shared, layerOf(t, file{name: "file1", content: content}))), 0o600); err != nil {
		t.Fatal(err)
	}
	upper := upperOf(t, map[string]string{"file1": content})

	store := filepath.Join(d.dir, "store")
	s := openStore(t, store, Options{})
	first := mustPull(t, s, here)
	if err := s.Tag(t.Context(), here, "other:1", false, 0); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	d.umount(t)
	d.keep(t)
	for _, op := range []struct{ do, arg, target string }{
		{"pull", there, there},
		{"load", saved, "loaded:1"},
		{"commit", here + " " + upper.Name(), "made:1"},
		{"tag", here, "tagged:1"},
		{"rename", "other:1", "renamed:1"},
		{"remove", "other:1", ""},
	} {
		d.back(t)
		d.mount(t)
		var passed []string
		for _, line := range strings.Split(die(t, store, op.do, op.arg, "", crashTraceEnv+"=1"), "\n") {
			if point, is := strings.CutPrefix(line, "passed "); is {
				passed = append(passed, point)
			}
		}
		d.umount(t)
		if len(passed) == 0 {
			t.Fatalf("%s comes by no point", op.do)
		}
		count := map[string]int{}
		for _, point := range append(passed, "done") {
			count[point]++
			nth := count[point]
			if strings.HasPrefix(point, "trash.") {
				continue // by then the records are gone for good
			}
			t.Run(fmt.Sprintf("%s %s %d", op.do, point, nth), func(t *testing.T) {
				d.back(t)
				d.mount(t)
				defer d.umount(t)
				die(t, store, op.do, op.arg, point, crashNthEnv+"="+fmt.Sprint(nth), crashPowerEnv+"=1")
				d.umount(t)
				d.mount(t)
				s := openStore(t, store, Options{})
				defer closeStore(t, s)
				if got := mustFind(t, s, first.ID); got.Status != Ready {
					t.Errorf("what was there is %+v", got)
				}
				if point == "done" {
					survives(t, s, op.target, op.do == "pull")
				}
				flaws(t, s, 0, "")
				if op.target == there {
					mustPull(t, s, there)
					flaws(t, s, 0, "")
				}
			})
		}
	}
}

// survives demands that what a command has done is done after the power was lost.
func survives(t *testing.T, s *Store, target string, pulled bool) {
	t.Helper()
	if target == "" {
		if _, is := s.Find("other:1"); is {
			t.Error("what was removed is here again")
		}
		return
	}
	im := mustFind(t, s, target)
	if pulled && (im.Status != Ready || slices.Contains([]string{"pulling", "waiting"}, string(im.Status))) {
		t.Errorf("what was pulled is %+v", im)
	}
	if _, is := s.Find("other:1"); is != (target != "renamed:1") {
		t.Errorf("the name that moved is here: %v", is)
	}
}
