package tests

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"hull/tests/image"
)

// strain is something that is done while the store's disk has so little room that it
// may fail.
type strain struct {
	name   string
	setup  string // once, with room
	do     string // with little room: it succeeds, or fails with a sentence about the disk
	after  string // true once it has succeeded
	undo   string // back to the beginning, with room
	step   int64  // bytes of room more at each level
	always bool   // it needs no room at all
}

const levels = 16

// The store's disk has 48 MB, of which pulls leave 2.4 free. What full/new:1 unpacks to
// fills much more than its blobs say, so that at some levels it is refused at once,
// at some the disk fills while it is unpacked, and at some there is room.
var strains = []strain{
	{
		name: "pull", step: 640 << 10,
		do:    `mkdir -p $I/full/new:1 && $I/full/new:1/wait`,
		after: `test "$(stat -L -c %s $I/full/new:1/rootfs/zero)" = 5000000 && cmp $I/full/new:1/rootfs/noise $T/noise`,
		undo:  `rmdir $I/full/new:1`,
	},
	{
		name: "load", step: 640 << 10,
		setup: `mkdir -p $I/full/new:1 && $I/full/new:1/wait && $I/full/new:1/save > $T/new.tar && rmdir $I/full/new:1`,
		do:    `./load < $T/new.tar`,
		after: `test "$(stat -L -c %s $I/full/new:1/rootfs/zero)" = 5000000 && cmp $I/full/new:1/rootfs/noise $T/noise`,
		undo:  `rmdir $I/full/new:1`,
	},
	{
		name: "commit", step: 640 << 10,
		setup: `mkdir -p $I/true:1 && $I/true:1/wait && mkdir $I/true:1/containers/changed && containers/changed/wait && head -c 5000000 /dev/zero > containers/changed/rootfs/zero`,
		do:    `env echo 'commit full:made' > containers/changed/ctl`,
		after: `test "$(stat -L -c %s images/full:made/rootfs/zero)" = 5000000`,
		undo:  `rmdir images/full:made`,
	},
	{
		name: "tag", step: 2 << 10,
		do:    `ln -s $I/by:1 images/full:tag`,
		after: `cmp images/full:tag/id $I/by:1/id`,
		undo:  `rmdir images/full:tag`,
	},
	{
		name: "save", step: 100 << 10,
		setup: `mkdir -p $I/full/new:1 && $I/full/new:1/wait`,
		do:    `$I/full/new:1/save > $STORE/containers/saved.tar`,
		after: `tar tf $STORE/containers/saved.tar >/dev/null`,
		undo:  `rm $STORE/containers/saved.tar`,
	},
	{
		name: "container", step: 2 << 10,
		setup: `mkdir -p $I/true:1 && $I/true:1/wait`,
		do:    `{ test -e containers/c || mkdir containers/c; } && env echo $REG/true:1 > containers/c/config/image && env echo A=b > containers/c/config/env && mv containers/c containers/d && env echo start > containers/d/ctl`,
		after: `test "$(cat containers/d/config/env)" = A=b && containers/d/wait`,
		undo:  `rmdir containers/d`,
	},
	{
		name: "volume", step: 2 << 10,
		do:    `mkdir volumes/v`,
		after: `test "$(cat volumes/v/size)" = 0`,
		undo:  `rmdir volumes/v`,
	},
	{
		name: "filling", step: 1200 << 10,
		setup: `mkdir -p $I/true:1 && $I/true:1/wait`,
		do:    `./run --name f -v w:/usr/lib $REG/true:1`,
		after: `diff -r volumes/w/data/ $I/true:1/rootfs/usr/lib/`,
		undo:  `rmdir containers/f && env echo remove > volumes/w/ctl`,
	},
	{
		name: "registry", step: 2 << 10,
		do:    `{ test -e registries/full.test || mkdir registries/full.test; } && env echo true > registries/full.test/insecure`,
		after: `test "$(cat registries/full.test/insecure)" = true`,
		undo:  `rmdir registries/full.test`,
	},
	{
		name: "remove", step: 2 << 10, always: true,
		setup: `mkdir -p $I/crash/old:1 && $I/crash/old:1/wait`,
		do:    `rmdir $I/crash/old:1`,
		after: `! test -e $I/crash/old:1`,
		undo:  `mkdir -p $I/crash/old:1 && $I/crash/old:1/wait`,
	},
}

// TestFullDisk does everything that writes to the store at many levels of little room,
// of bytes and of inodes: what fails says why, leaves nothing half done and nothing
// that was there any the worse, and succeeds once there is room.
func TestFullDisk(t *testing.T) {
	needs(t)
	set := crashSet(t)
	noise := make([]byte, 600<<10)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	set["full/new:1"] = fullImage(t, noise)
	if err := image.Push(addr, set); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for _, s := range strains {
		all.Go(func() { // side by side, and not as parallel subtests: there are more of them than processors
			outcomes, err := s.atAllLevels(noise)
			if err != nil {
				t.Errorf("%s: %v", s.name, err)
				return
			}
			t.Logf("%s: %v", s.name, outcomes)
			if outcomes["done"] == 0 || !s.always && outcomes["no room"]+outcomes["full"] == 0 {
				t.Errorf("%s: the levels do not go from full to room enough: %v", s.name, outcomes)
			}
			if s.step == 640<<10 && (outcomes["full"] < 3 || outcomes["no room"] < 3) {
				t.Errorf("%s: the levels are not at the edge: %v", s.name, outcomes)
			}
		})
	}
	all.Wait()
}

// fullImage unpacks to 5 MB more than its blobs have.
func fullImage(t *testing.T, noise []byte) v1.Image {
	var made []v1.Layer
	for _, files := range [][]image.File{
		{{Name: "noise", Mode: 0o644, Body: noise}},
		{{Name: "zero", Mode: 0o644, Body: make([]byte, 5_000_000)}, {Name: "more/", Mode: 0o755}, {Name: "more/one", Mode: 0o644}},
	} {
		b, err := image.Tar(files)
		if err != nil {
			t.Fatal(err)
		}
		l, err := image.Gzip(b)
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, l)
	}
	img, err := image.Build(v1.Config{Cmd: []string{"none"}}, made...)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func (s strain) atAllLevels(noise []byte) (outcomes map[string]int, err error) {
	setup := []string{`mkdir -p $I/by:1 && $I/by:1/wait`}
	if s.setup != "" {
		setup = append(setup, s.setup)
	}
	m, err := trial("full", func(m *mounted) error {
		if err := os.WriteFile(m.path("noise"), noise, 0o600); err != nil {
			return err
		}
		return smallDisk(m.path("store"))
	}, setup...)
	if m != nil {
		defer func() { err = errors.Join(err, endOnDisk(m)) }()
	}
	if err != nil {
		return nil, err
	}
	outcomes = map[string]int{}
	for level := range int64(levels) {
		if err := s.at(m, outcomes, func() error { return m.leaveBytes(level * s.step) }); err != nil {
			return nil, fmt.Errorf("with %d bytes of room: %w", level*s.step, err)
		}
	}
	for _, inodes := range []int{0, 1, 2, 3, 4, 6, 8, 12} {
		if err := s.at(m, outcomes, func() error { return m.leaveInodes(inodes) }); err != nil {
			return nil, fmt.Errorf("with %d inodes: %w", inodes, err)
		}
	}
	return outcomes, nil
}

func smallDisk(dir string) error {
	if err := os.Mkdir(dir, 0o711); err != nil {
		return err
	}
	return unix.Mount("hull-test", dir, "tmpfs", 0, "size=48m,nr_inodes=4000,mode=711")
}

// endOnDisk ends a mount whose store has a disk of its own. The hull goes first; what is
// left behind by then is told by end, which removes the directories.
func endOnDisk(m *mounted) (err error) {
	if m.isMounted() {
		err = m.lastUmount("--stop")
	}
	// The daemon may be about to let go of its last file.
	if e := m.poll(func() error { return unix.Unmount(m.path("store"), 0) }); e != nil {
		err = errors.Join(err, fmt.Errorf("the disk cannot be unmounted: %w", e))
	}
	for _, p := range m.end() {
		err = errors.Join(err, errors.New("left behind: "+p))
	}
	return err
}

// about is what a failure for want of room says.
var about = regexp.MustCompile(`(?i)no space|disk|free`)

// at does it once with little room, and once more with enough if need be.
func (s strain) at(m *mounted, outcomes map[string]int, fill func() error) error {
	if err := m.quiet(); err != nil {
		return err
	}
	if err := fill(); err != nil {
		return err
	}
	out, failed := m.shell(s.do)
	said, _ := m.shell("cat error")
	err := m.lines(`grep -q ready $I/by:1/status && test "$(cat $I/by:1/rootfs/etc/top)" = by`)
	if e := os.RemoveAll(m.path("store/containers/filler")); e != nil {
		return e
	}
	switch {
	case err != nil:
		return fmt.Errorf("another image: %w", err)
	case failed == nil:
		outcomes["done"]++
	case s.always:
		return fmt.Errorf("it needs no room: %s", out)
	case !about.MatchString(out) || !about.MatchString(said) && s.name != "save": // that one's disk is the caller's own
		return fmt.Errorf("it failed with %q, and error says %q", out, said)
	case strings.Contains(out+said, "leave"):
		outcomes["no room"]++
	default:
		outcomes["full"]++
	}
	if failed != nil {
		// Nothing is left of it, but the place of a pull that failed (which the next daemon takes up, if there was not
		// even room to write that down).
		if err := m.poll(func() error {
			for _, p := range walkStore(m.path("store")) {
				if !strings.HasSuffix(p, "is failed") && !strings.HasSuffix(p, "is pulling") {
					return errors.New(p)
				}
			}
			return nil
		}); err != nil {
			return fmt.Errorf("after it failed: %w", err)
		}
		if out, err := m.shell(s.again()); err != nil {
			return fmt.Errorf("with room again: %w: %s", err, out)
		}
	}
	return m.lines(s.after, `echo check > ctl || { cat error; false; }`, s.undo)
}

// again is what is done once there is room: what has been done already is not again.
func (s strain) again() string {
	switch s.name {
	case "pull":
		return `{ test -e $I/full/new:1 && echo pull > $I/full/new:1/ctl || mkdir $I/full/new:1; } && $I/full/new:1/wait`
	case "container":
		return `test -e containers/d || { ` + strings.TrimSuffix(s.do, " && env echo start > containers/d/ctl") + `; }; test "$(cat containers/d/status)" != created || echo start > containers/d/ctl`
	}
	return s.do
}

// leaveBytes fills the store's disk until so many bytes are free.
func (m *mounted) leaveBytes(free int64) error {
	filler := m.path("store/containers/filler")
	if err := os.Mkdir(filler, 0o700); err != nil {
		return err
	}
	// No other test's child may come to have the file for a moment: removed, it would go on to take room.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	f, err := os.Create(filepath.Join(filler, "bytes"))
	if err != nil {
		return err
	}
	defer f.Close()
	// The daemon may write something beside, an event or where a pull's file ends, so that less is free than a moment ago.
	return m.poll(func() error {
		var st unix.Statfs_t
		if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
			return &final{err}
		}
		n := int64(st.Bavail)*st.Bsize - free
		if n <= 0 {
			return &final{fmt.Errorf("only %d bytes are free", int64(st.Bavail)*st.Bsize)}
		}
		return unix.Fallocate(int(f.Fd()), 0, 0, n)
	})
}

// leaveInodes makes empty files until so many inodes are free.
func (m *mounted) leaveInodes(free int) error {
	filler := m.path("store/containers/filler")
	if err := os.Mkdir(filler, 0o700); err != nil {
		return err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(filler, &st); err != nil {
		return err
	}
	for i := range int(st.Ffree) - free {
		if err := os.WriteFile(filepath.Join(filler, fmt.Sprint(i)), nil, 0o600); err != nil {
			return err
		}
	}
	return nil
}
