package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"hull/cmd/hull/early"
	"hull/tests/need"
	"hull/tests/netns"
)

// puller is a contestant that pulls. The trees of what it pulled, highest first, hold
// the image's files together.
type puller interface {
	contestant
	trees(ctx context.Context) ([]string, error)
}

func TestMain(m *testing.M) {
	if err := netns.Enter(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// TestRows runs every row with images so small that their times mean nothing. No
// contestant may be missing or fail, and all must have pulled the same.
func TestRows(t *testing.T) {
	lacking(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	hull := filepath.Join(t.TempDir(), "hull")
	build := exec.CommandContext(ctx, "go", "build", "-ldflags", early.LinkerFlag, "-o", hull, "hull/cmd/hull")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := netns.Outside(build); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s, err := newSetting(ctx, hull, size{
		image: 400e3, files: 300, layer: 3e6, log: 300e3, burst: 3, running: [3]int{1, 2, 5}, sustain: 50 * time.Millisecond,
		crowd: 3, peers: 1, watch: 50 * time.Millisecond, listed: 3, walked: 5, rest: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}()
	for _, r := range rows() {
		r.cold, r.settle, r.pause, r.after, r.again = false, 0, 0, 0, 0 // others' tests want the page cache
		var want []string
		for i, c := range r.field {
			if p, ok := c.(puller); ok {
				r.field[i] = &checked{puller: p, t: t, want: &want}
			}
		}
		table, err := r.measure(ctx, s, 1)
		if err != nil {
			t.Fatalf("%s: %v", r.name, err)
		}
		for _, out := range table.out {
			t.Errorf("%s: %s", r.name, out)
		}
		var text strings.Builder
		table.print(&text)
		t.Log(text.String())
	}
}

// lacking skips where something is not to be had, or fails where all has to be.
func lacking(t *testing.T) {
	t.Helper()
	var why []string
	if os.Geteuid() != 0 {
		why = append(why, "root")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		why = append(why, "FUSE")
	}
	for _, p := range strings.Fields("runc podman docker dockerd skopeo umoci curl tar gzip") {
		if _, err := exec.LookPath(p); err != nil {
			why = append(why, p)
		}
	}
	if len(why) > 0 {
		need.Lacking(t, strings.Join(why, ", "))
	}
}

// checked compares what a contestant pulled with what the first one did.
type checked struct {
	puller
	t    *testing.T
	want *[]string
}

func (c *checked) reset(ctx context.Context) error { return c.puller.(resetter).reset(ctx) }
func (c *checked) close() error                    { return c.puller.(closer).close() }

func (c *checked) once(ctx context.Context) error {
	if err := c.puller.once(ctx); err != nil {
		return err
	}
	if e, ok := c.puller.(eater); ok && e.peak() < 1<<20 {
		c.t.Errorf("%s: it took %d bytes of memory?", c.name(), e.peak())
	}
	dirs, err := c.trees(ctx)
	if err != nil {
		return err
	}
	got, err := listing(dirs)
	if err != nil {
		return err
	}
	if *c.want == nil {
		*c.want = got
	}
	if len(got) < 2 {
		c.t.Errorf("%s: there is nothing in %q", c.name(), dirs)
	}
	if diff := cmp.Diff(*c.want, got); diff != "" {
		c.t.Errorf("%s did not pull what hull has (-hull +%s):\n%s", c.name(), c.name(), diff)
	}
	return nil
}

// listing describes each file of trees that lie upon each other, the highest first.
func listing(trees []string) ([]string, error) {
	seen := map[string]bool{}
	var all []string
	for _, tree := range trees {
		err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
			name := strings.TrimPrefix(strings.TrimPrefix(path, tree), "/")
			if err != nil || name == "" || seen[name] {
				return err
			}
			seen[name] = true
			line, err := describe(path)
			all = append(all, name+" "+line)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(all)
	return all, nil
}

func describe(path string) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return "", err
	}
	line := fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid)
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return line, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	return fmt.Sprintf("%s %d %d %x", line, st.Mtim.Sec, n, sum.Sum(nil)), err
}

// Rows may share a field: who is left out of one is not taken from the others.
func TestLeaveSharedField(t *testing.T) {
	shared := []contestant{&byTree{}, &cLoop{network: true}, &byRun{}}
	one, other := row{name: "one", field: shared}, row{name: "other", field: shared}
	for _, r := range []*row{&one, &other} {
		if err := r.leave("C"); err != nil {
			t.Fatal(err)
		}
		if len(r.field) != 1 || r.field[0].name() != "C loop" {
			t.Errorf("%s: %v", r.name, r.field)
		}
	}
}
