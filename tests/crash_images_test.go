package tests

import (
	"archive/tar"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hull/layers"
	"hull/tests/image"
)

// deed is something that is done to images, and done again with the daemon killed
// at each step of it.
type deed struct {
	name   string
	before string // brings about what it begins with, whatever there is
	do     string // is cut off
	// holds is true at any time after the daemon is back: nothing lost, nothing half.
	holds string
	// again is what a user does when he finds his command cut off; it may have
	// happened, so it succeeds either way.
	again string
	after string // is true then
	// damaged says that the store is damaged before.
	damaged bool
}

// Each mount has the image by:1, which shares its lowest layer with crash/new:1 and
// crash/old:1 and must never be touched, and for those that need it a container.
var deeds = []deed{
	{
		name:   "pull",
		before: `! test -e $I/crash/new:1 || rmdir $I/crash/new:1`,
		do:     `mkdir -p $I/crash/new:1 && $I/crash/new:1/wait`,
		holds:  `! test -e $I/crash/new:1 || ! grep -q failed $I/crash/new:1/status`,
		again:  `mkdir -p $I/crash/new:1 && $I/crash/new:1/wait`,
		after:  `grep -q ready $I/crash/new:1/status && test "$(cat $I/crash/new:1/rootfs/etc/top)" = new && test "$(cat $I/crash/new:1/rootfs/etc/hard)" = base`,
	},
	{
		name: "pull a newer one",
		before: `mkdir -p $I/crash/old:1 && $I/crash/old:1/wait && echo "tag $REG/crash/new:1" > $I/crash/old:1/ctl && rmdir $I/crash/old:1 && ./prune images &&
			test "$(cat $I/crash/new:1/rootfs/etc/top)" = old && cp $I/crash/new:1/id $T/old`,
		do:    `echo pull > $I/crash/new:1/ctl && $I/crash/new:1/wait`,
		holds: `test -d images/$(cat $T/old) && cat $I/crash/new:1/rootfs/etc/top | grep -q 'old\|new'`,
		again: `echo pull > $I/crash/new:1/ctl && $I/crash/new:1/wait`,
		after: `test "$(cat $I/crash/new:1/rootfs/etc/top)" = new && test "$(cat images/$(cat $T/old)/rootfs/etc/top)" = old`,
	},
	{
		name:   "tag by ln",
		before: `! test -e images/crash:tag || rmdir images/crash:tag`,
		do:     `ln -s $I/by:1 images/crash:tag`,
		holds:  `! test -e images/crash:tag || cmp images/crash:tag/id $I/by:1/id`,
		again:  `test -e images/crash:tag || ln -s $I/by:1 images/crash:tag`,
		after:  `cmp images/crash:tag/id $I/by:1/id && test "$(cat images/crash:tag/rootfs/etc/top)" = by`,
	},
	{
		name: "tag over another",
		before: `mkdir -p $I/crash/old:1 && $I/crash/old:1/wait && cp $I/crash/old:1/id $T/old && echo 'tag crash:over' > $I/crash/old:1/ctl &&
			rmdir $I/crash/old:1 && ./prune images`,
		do:    `echo 'tag crash:over' > $I/by:1/ctl`,
		holds: `test -d images/$(cat $T/old) && (cmp -s images/crash:over/id $T/old || cmp images/crash:over/id $I/by:1/id)`,
		again: `echo 'tag crash:over' > $I/by:1/ctl`,
		after: `cmp images/crash:over/id $I/by:1/id && test "$(cat images/$(cat $T/old)/rootfs/etc/top)" = old`,
	},
	{
		name:   "mv",
		before: `rm -f $T/x; for i in images/crash:to images/crash:from; do ! test -e $i || rmdir $i || exit 1; done; ln -s $I/by:1 images/crash:from`,
		do:     `mv images/crash:from images/crash:to`,
		holds:  `test -d images/crash:from || test -d images/crash:to`,
		again:  `! test -e images/crash:from || { ! test -e images/crash:to || rmdir images/crash:to; } && { ! test -e images/crash:from || mv images/crash:from images/crash:to; }`,
		after:  `! test -e images/crash:from && cmp images/crash:to/id $I/by:1/id`,
	},
	{
		name:   "remove",
		before: `mkdir -p $I/crash/old:1 && $I/crash/old:1/wait`,
		do:     `rmdir $I/crash/old:1`,
		holds:  `! test -e $I/crash/old:1 || test "$(cat $I/crash/old:1/rootfs/etc/top)" = old`,
		again:  `! test -e $I/crash/old:1 || rmdir $I/crash/old:1`,
		after:  `! test -e $I/crash/old:1`,
	},
	{
		name: "remove by force what a container keeps",
		before: `mkdir -p $I/crash/old:1 && $I/crash/old:1/wait && cp $I/crash/old:1/id $T/old &&
			{ test -e containers/keeper || mkdir containers/keeper; } && echo $REG/crash/old:1 > containers/keeper/config/image`,
		do:    `echo 'remove force' > $I/crash/old:1/ctl`,
		holds: `test "$(cat images/$(cat $T/old)/rootfs/etc/top)" = old`,
		again: `! test -e $I/crash/old:1 || echo 'remove force' > $I/crash/old:1/ctl`,
		after: `! test -e $I/crash/old:1 && test "$(cat containers/keeper/rootfs/etc/top)" = old`,
	},
	{
		name:   "load",
		before: `! test -e $I/crash/new:1 || rmdir $I/crash/new:1; ./prune images`,
		do:     `./load < $T/new.tar`,
		holds:  `! test -e $I/crash/new:1 || test "$(cat $I/crash/new:1/rootfs/etc/top)" = new`,
		again:  `./load < $T/new.tar`,
		after:  `test "$(cat $I/crash/new:1/rootfs/etc/top)" = new && cmp $I/crash/new:1/id $T/new`,
	},
	{
		name:   "commit",
		before: `! test -e images/crash:made || rmdir images/crash:made`,
		do:     `echo 'commit crash:made' > containers/changed/ctl`,
		holds:  `! test -e images/crash:made || test "$(cat images/crash:made/rootfs/added)" = added`,
		again:  `test -e images/crash:made || echo 'commit crash:made' > containers/changed/ctl`,
		after:  `test "$(cat images/crash:made/rootfs/added)" = added`,
	},
	{
		name:   "push",
		before: `mkdir -p $I/crash/old:1 && $I/crash/old:1/wait`,
		do:     `echo push > $I/crash/old:1/ctl && $I/crash/old:1/wait`,
		holds:  `test "$(cat $I/crash/old:1/rootfs/etc/top)" = old`,
		again:  `echo push > $I/crash/old:1/ctl && $I/crash/old:1/wait`,
		after:  `grep -q ready $I/crash/old:1/status`,
	},
	{
		name:   "prune",
		before: `mkdir -p $I/crash/old:1 $I/crash/new:1 && $I/crash/old:1/wait && $I/crash/new:1/wait`,
		do:     `./prune -a images`,
		holds:  `for i in old new; do ! test -e $I/crash/$i:1 || test "$(cat $I/crash/$i:1/rootfs/etc/top)" = $i || exit 1; done`,
		again:  `./prune -a images`,
		after:  `! test -e $I/crash/old:1 && ! test -e $I/crash/new:1`,
	},
	{
		name: "repair",
		before: `mkdir -p $I/crash/new:1 && $I/crash/new:1/wait && echo check > ctl &&
			for f in $(cat $I/crash/new:1/id | cut -d: -f2) $(grep -o '"blob": "sha256:[0-9a-f]*' $STORE/images/*crash%2Fnew:1.json | tail -n 1 | cut -d: -f3); do
				printf x | dd of=$STORE/blobs/sha256/$f bs=1 seek=5 conv=notrunc 2>/dev/null || exit 1; done
			for d in $STORE/layers/*/diff/etc/top; do ! grep -q new $d || echo damaged > $d; done; ! echo check > ctl 2>/dev/null`,
		do:      `echo repair > ctl`,
		holds:   `test -d $I/crash/new:1`,
		again:   `echo repair > ctl`,
		after:   `test "$(cat $I/crash/new:1/rootfs/etc/top)" = new`,
		damaged: true,
	},
	{
		name: "repair a record",
		before: `mkdir -p $I/crash/new:1 && $I/crash/new:1/wait && cp $STORE/images/*crash%2Fnew:1.json $T/record &&
			sed -i 's/"manifest": "sha256:.../"manifest": "sha256:fff/' $STORE/images/*crash%2Fnew:1.json && ! echo check > ctl 2>/dev/null`,
		do:      `echo repair > ctl`,
		holds:   `test "$(cat $I/crash/new:1/rootfs/etc/top)" = new`,
		again:   `echo repair > ctl`,
		after:   `cmp $STORE/images/*crash%2Fnew:1.json $T/record`,
		damaged: true,
	},
}

// TestCrashPointsOfImages kills the daemon at every step of everything that changes
// images, by the points that the store names, and demands each time: what was there
// is there and whole, nothing half done is to be seen, a second try converges, and
// nothing is left on the disk that no record reaches.
func TestCrashPointsOfImages(t *testing.T) {
	needs(t)
	if err := image.Push(addr, crashSet(t)); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	reached := map[string]bool{}
	var all sync.WaitGroup
	for _, d := range deeds {
		// Side by side, and not as parallel subtests: most of the time they wait for the monitor to start a daemon again.
		all.Go(func() {
			passed, problems := d.crashEverywhere(t)
			mu.Lock()
			defer mu.Unlock()
			for _, p := range passed {
				reached[p] = true
			}
			for _, p := range problems {
				t.Errorf("%s: %s", d.name, p)
			}
		})
	}
	all.Wait()
	for _, p := range layers.CrashPoints() {
		if !reached[p] {
			t.Errorf("nothing comes by the crash point %q: there is a step that is not tested", p)
		}
	}
}

// crashSet is three images: the lowest layer is in all of them, and a middle one
// takes from it.
func crashSet(t *testing.T) map[string]any {
	set := map[string]any{}
	for repo, top := range map[string]string{"by": "by", "crash/new": "new", "crash/old": "old"} {
		layers := [][]image.File{
			{{Name: "etc/", Mode: 0o755}, {Name: "etc/base", Mode: 0o644, Body: []byte("base\n")}},
			{{Name: "etc/hard", Type: tar.TypeLink, Link: "etc/base"}, {Name: "etc/of-" + top, Mode: 0o600, Body: []byte(top)}},
			{{Name: "etc/top", Mode: 0o644, Body: []byte(top + "\n")}},
		}
		var made []v1.Layer
		for _, files := range layers {
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
		set[repo+":1"] = img
	}
	return set
}

// crashEverywhere does the deed once to see what it comes by, and then once for
// each of those steps.
func (d deed) crashEverywhere(t *testing.T) (passed, problems []string) {
	m, err := trial("crash", nil, d.setup()...)
	if m != nil {
		defer func() {
			for _, p := range m.end() {
				problems = append(problems, "left behind: "+p)
			}
		}()
	}
	if err != nil {
		return nil, []string{err.Error()}
	}
	passed, err = d.rehearse(m)
	if err != nil {
		return nil, []string{"without any crash: " + err.Error()}
	}
	seen := map[string]int{}
	for i, point := range passed {
		seen[point]++
		if seen[point] > 1 && strings.HasPrefix(point, "trash.") {
			continue // these happen beside it, as often as it happens to be
		}
		at := fmt.Sprint(point, " ", seen[point])
		if i%5 == 4 { // the monitor waits longer before each daemon, but not for a new mount
			if err := m.remount(); err != nil {
				return passed, append(problems, err.Error())
			}
		}
		if err := d.crashOnce(m, at); err != nil {
			return passed, append(problems, fmt.Sprintf("killed at %q: %v", at, err))
		}
	}
	t.Logf("%s: killed at %d of %d steps", d.name, len(passed), len(passed))
	return passed, problems
}

// setup makes what must never be touched, and what the deed needs.
func (d deed) setup() []string {
	setup := []string{`mkdir -p $I/by:1 && $I/by:1/wait`}
	switch d.name {
	case "prune": // by:1 stays by its container
		setup = append(setup, `mkdir containers/of-by && echo $REG/by:1 > containers/of-by/config/image`)
	case "load":
		setup = append(setup, `mkdir -p $I/crash/new:1 && $I/crash/new:1/wait && $I/crash/new:1/save > $T/new.tar && cp $I/crash/new:1/id $T/new`)
	case "commit":
		setup = append(setup, `mkdir -p $I/true:1 && $I/true:1/wait && mkdir $I/true:1/containers/changed && containers/changed/wait && echo added > containers/changed/rootfs/added`)
	}
	return setup
}

// begin brings about what the deed begins with.
func (d deed) begin(m *mounted) error {
	if err := m.lines(d.before); err != nil || d.damaged {
		return err
	}
	return m.quiet()
}

// rehearse does the deed without a crash, and returns the points it comes by, in
// order.
func (d deed) rehearse(m *mounted) ([]string, error) {
	if err := d.begin(m); err != nil {
		return nil, err
	}
	if err := os.WriteFile(m.path("crash.passed"), nil, 0o600); err != nil {
		return nil, err
	}
	if err := m.lines(d.do, d.holds, d.after); err != nil {
		return nil, err
	}
	if err := m.quiet(); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(m.path("crash.passed"))
	if err != nil {
		return nil, err
	}
	all := slices.Sorted(slices.Values(layers.CrashPoints()))
	var passed []string
	for _, p := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if _, of := slices.BinarySearch(all, p); of { // and not one of the engine
			passed = append(passed, p)
		}
	}
	if len(passed) == 0 {
		return nil, errors.New("it comes by no crash point")
	}
	return passed, os.Remove(m.path("crash.passed"))
}

func (d deed) crashOnce(m *mounted, at string) error {
	if err := d.begin(m); err != nil {
		return err
	}
	if err := os.WriteFile(m.path("crash.new"), []byte(at), 0o600); err != nil {
		return err
	}
	if err := os.Rename(m.path("crash.new"), m.path("crash")); err != nil {
		return err
	}
	out, _ := m.shell(d.do) // it may fail, or be done before the daemon dies behind it
	if err := m.poll(func() error {
		if _, err := os.Stat(m.path("crash")); err == nil {
			return fmt.Errorf("the daemon did not come by: %s", out)
		}
		return nil
	}); err != nil {
		return err
	}
	// Only the next daemon's answer counts.
	if err := m.poll(func() error {
		if out, err := m.shell("cat version"); err != nil {
			return fmt.Errorf("the mount is not back: %s", out)
		}
		return nil
	}); err != nil {
		return err
	}
	const bystander = `test "$(cat $I/by:1/rootfs/etc/top)" = by && grep -q ready $I/by:1/status`
	if !d.damaged {
		if err := m.lines(`echo check > ctl || { cat error; false; }`); err != nil {
			return err
		}
	}
	if err := m.lines(bystander, d.holds, d.again, d.after, bystander, `echo check > ctl || { cat error; false; }`); err != nil {
		return err
	}
	return m.quiet()
}

// quiet waits until nothing is in the store but what records reach.
func (m *mounted) quiet() error {
	return m.poll(func() error {
		if problems := walkStore(m.path("store")); len(problems) > 0 {
			return errors.New(strings.Join(problems, "\n"))
		}
		return nil
	})
}

// lines runs lines of shell on the mount, and tries one again whose mount was
// still, or again, that of a dead daemon.
func (m *mounted) lines(lines ...string) error {
	for _, line := range lines {
		if err := m.poll(func() error {
			out, err := m.shell(line)
			switch {
			case err == nil:
				return nil
			case strings.Contains(out, "not connected"), strings.Contains(out, "abort"), strings.Contains(out, "Stale"):
				return fmt.Errorf("%s: %w: %s", line, err, out)
			}
			return &final{fmt.Errorf("%s: %w: %s", line, err, out)}
		}); err != nil {
			return err
		}
	}
	return nil
}

// final is a failure that waiting does not mend.
type final struct{ error }

// poll tries until it succeeds, for as long as patience lasts.
func (m *mounted) poll(try func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := try()
		var end *final
		if err == nil || errors.As(err, &end) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// trial mounts in a directory of its own, which disk, if not nil, prepares before, and
// runs lines of shell there. What it returns has to be ended, also if it fails.
func trial(name string, disk func(*mounted) error, setup ...string) (*mounted, error) {
	base, err := os.MkdirTemp("", "hull-"+name+"-")
	if err != nil {
		return nil, err
	}
	m := &mounted{base: base}
	if disk != nil {
		err = disk(m)
	}
	if err == nil {
		err = m.mountToCrash()
	}
	if err == nil {
		err = m.lines(setup...)
	}
	return m, err
}

func (m *mounted) remount() error {
	if err := m.lastUmount(); err != nil {
		return err
	}
	return m.mountToCrash()
}

func (m *mounted) lastUmount(more ...string) error {
	if out, err := exec.Command(hull, m.umountArgs(more)...).CombinedOutput(); err != nil {
		return fmt.Errorf("umount: %w: %s", err, out)
	}
	return nil
}
