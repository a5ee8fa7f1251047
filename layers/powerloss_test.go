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
// as it can.
type device struct{ image, dir string }

func newDevice(t *testing.T) *device {
	t.Helper()
	needRoot(t)
	for _, tool := range []string{"mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	d := &device{filepath.Join(t.TempDir(), "disk"), t.TempDir()}
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(d.image, 32<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "mkfs.ext4", "-q", "-F", "-N", "4096", d.image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	if out, err := d.mount(t); err != nil {
		t.Skipf("needs loop devices: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = unix.Unmount(d.dir, unix.MNT_DETACH) }) // what a failure left
	if err := losePower(d.dir); err != nil {
		t.Skipf("needs an ext4 that can be stopped: %v", err)
	}
	d.umount(t)
	d.mustMount(t)
	return d
}

func (d *device) mount(t *testing.T) (string, error) {
	out, err := exec.CommandContext(t.Context(), "mount", "-o", "loop,noauto_da_alloc,data=writeback,commit=600", d.image, d.dir).CombinedOutput()
	return string(out), err
}

func (d *device) mustMount(t *testing.T) {
	t.Helper()
	if out, err := d.mount(t); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
}

func (d *device) umount(t *testing.T) {
	t.Helper()
	if err := unix.Unmount(d.dir, 0); err != nil {
		t.Fatal(err)
	}
}

// keep copies the disk as it is now, unmounted, and back returns to that.
func (d *device) keep(t *testing.T) { d.copy(t, d.image, d.image+".kept") }
func (d *device) back(t *testing.T) { d.copy(t, d.image+".kept", d.image) }

func (d *device) copy(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "cp", "--sparse=always", from, to).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
}

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
		d.mustMount(t)
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
				d.mustMount(t)
				defer d.umount(t)
				die(t, store, op.do, op.arg, point, crashNthEnv+"="+fmt.Sprint(nth), crashPowerEnv+"=1")
				d.umount(t)
				d.mustMount(t)
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
