package layers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The test binary is also the daemon that dies: with these set it does one thing
// to a store and kills itself at a crash point.
const (
	crashPointEnv = "HULL_TEST_CRASH_POINT"
	crashDirEnv   = "HULL_TEST_CRASH_DIR"
	crashDoEnv    = "HULL_TEST_CRASH_DO"
	crashRefEnv   = "HULL_TEST_CRASH_REF"
	crashNthEnv   = "HULL_TEST_CRASH_NTH"   // the how many-th time, from 1
	crashPowerEnv = "HULL_TEST_CRASH_POWER" // the file system loses what is not synced
	crashTraceEnv = "HULL_TEST_CRASH_TRACE" // print the points instead
)

func TestMain(m *testing.M) {
	if os.Getenv(crashDirEnv) != "" {
		if err := dying(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0) // the point was never reached
	}
	os.Exit(m.Run())
}

// dying is the child.
func dying() error {
	ctx := context.Background()
	s, err := Open(ctx, os.Getenv(crashDirEnv), Options{FreePercent: -1, Retries: -1, Crash: crash})
	if err != nil {
		return err
	}
	if err := s.Sweep(ctx, nil); err != nil {
		return err
	}
	if err := deed(ctx, s, os.Getenv(crashDoEnv), os.Getenv(crashRefEnv)); err != nil {
		return err
	}
	crash("done")
	return nil
}

var crashed struct {
	sync.Mutex

	n int
}

// crash ends the child at the point it was told.
func crash(at string) {
	crashed.Lock() // others that come by a point wait, as they would be dead
	defer crashed.Unlock()
	if os.Getenv(crashTraceEnv) != "" && at != "done" {
		fmt.Println("passed", at)
	}
	if at != os.Getenv(crashPointEnv) {
		return
	}
	crashed.n++
	if nth := os.Getenv(crashNthEnv); nth != "" && nth != strconv.Itoa(crashed.n) {
		return
	}
	if os.Getenv(crashPowerEnv) != "" {
		if err := losePower(os.Getenv(crashDirEnv)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	select {} // until it arrives
}

// deed is what the child does.
func deed(ctx context.Context, s *Store, do, ref string) error {
	switch do {
	case "pull":
		if err := s.Pull(ctx, ref, PullOptions{}); err != nil {
			return err
		}
		return s.Wait(ctx, ref)
	case "remove":
		_, err := s.Remove(ctx, ref, false, 0)
		return err
	case "hold and remove":
		im, _ := s.Find(ref)
		if err := s.Hold(im.ID, "one"); err != nil {
			return err
		}
		_, err := s.Remove(ctx, ref, true, 0)
		return err
	case "load":
		f, err := os.Open(ref)
		if err != nil {
			return err
		}
		_, err = s.Load(ctx, f, 0)
		return err
	case "commit":
		base, dir, _ := strings.Cut(ref, " ")
		im, _ := s.Find(base)
		upper, err := os.Open(dir)
		if err != nil {
			return err
		}
		_, err = s.Commit(ctx, "made:1", CommitOptions{Base: im.ID, Upper: upper})
		return err
	case "tag":
		return s.Tag(ctx, ref, "tagged:1", false, 0)
	case "rename":
		return s.Rename(ctx, ref, "renamed:1", 0)
	case "lock":
		return nil
	}
	return errors.New("do what?")
}

// die runs the child and demands that it died at the point, or, with an empty
// point, that it did not. It returns what the child printed.
func die(t *testing.T, dir, do, ref, point string, more ...string) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), crashDirEnv+"="+dir, crashDoEnv+"="+do, crashRefEnv+"="+ref, crashPointEnv+"="+point)
	cmd.Env = append(cmd.Env, more...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
	if killed != (point != "") {
		t.Fatalf("the child ended with %v at %q: %s", err, point, out)
	}
	return string(out)
}

// arrivalPoints are those that whatever brings an image comes by.
func arrivalPoints() []string {
	return slices.DeleteFunc(CrashPoints(), func(p string) bool {
		return !slices.Contains([]string{
			"record.temporary", "record.renamed", "layer.unpacked", "pull.synced", "blob.placed", "layer.placed", "pull.placed",
		}, p)
	})
}

// checkWhole demands that every image that is said to be ready is.
func checkWhole(t *testing.T, s *Store, content string) {
	t.Helper()
	for _, im := range s.List() {
		if !im.Usable() {
			continue
		}
		infos, err := s.Layers(im.ID)
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range infos {
			b, err := os.ReadFile(filepath.Join(l.Path, fmt.Sprint("file", i)))
			if err != nil || string(b) != content {
				t.Errorf("layer %d of %s is not whole: %v", i, im.Reference, err)
			}
		}
		if _, err := s.ImageConfig(im.ID); err != nil {
			t.Error(err)
		}
		if _, err := s.Manifest(im.ID); err != nil {
			t.Error(err)
		}
	}
}

func TestCrashWhilePulling(t *testing.T) {
	needRoot(t)
	content := noise(10, 50_000)
	r := newRegistry(t)
	img := imageOf(t, layerOf(t, file{name: "file0", content: content}), layerOf(t, file{name: "file1", content: content}))
	r.push(t, "acme/app:1", img)
	ref := r.ref("acme/app:1")
	for _, point := range append(arrivalPoints(), "ingest.begun", "ingest.arrived") {
		t.Run(point, func(t *testing.T) {
			dir := t.TempDir()
			die(t, dir, "pull", ref, point)
			s := openUnswept(t, dir, Options{})
			checkWhole(t, s, content)
			if err := s.Sweep(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			im, listed := s.Find(ref)
			if listed != (point != "record.temporary") {
				t.Errorf("it is here: %v, %+v", listed, im)
			}
			if !listed {
				if got := slices.Concat(names(t, s, "layers"), names(t, s, "blobs/sha256"), names(t, s, "ingest")); len(got) != 0 {
					t.Errorf("the store holds %v", got)
				}
				mustPull(t, s, ref)
			} else if err := s.Wait(t.Context(), ref); err != nil {
				t.Errorf("the pull was taken up, but failed: %v", err)
			}
			checkWhole(t, s, content)
			if im := mustFind(t, s, ref); im.ID != idOf(t, img) {
				t.Errorf("image is %+v", im)
			}
			await(t, "what was left over to go", func() bool {
				return len(names(t, s, "ingest"))+len(names(t, s, "staging"))+len(names(t, s, "trash")) == 0
			})
			if l, b := names(t, s, "layers"), names(t, s, "blobs/sha256"); len(l) != 2 || len(b) != 4 {
				t.Errorf("layers are %v, blobs %v", l, b)
			}
		})
	}
}

func TestCrashWhileRemoving(t *testing.T) {
	needRoot(t)
	content := noise(11, 5000)
	r := newRegistry(t)
	r.push(t, "acme/app:1", imageOf(t, layerOf(t, file{name: "file0", content: content})))
	ref := r.ref("acme/app:1")
	for _, tt := range []struct {
		do, point string
		held      bool
	}{
		{"remove", "remove.record", false},
		{"hold and remove", "record.renamed", true},
		{"hold and remove", "remove.record", true},
	} {
		t.Run(tt.do+" "+tt.point, func(t *testing.T) {
			s := openStore(t, t.TempDir(), Options{})
			im := mustPull(t, s, ref)
			closeStore(t, s)
			die(t, s.dir, tt.do, ref, tt.point)
			s = openUnswept(t, s.dir, Options{})
			checkWhole(t, s, content)
			if tt.held {
				if err := s.Hold(im.ID, "one"); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Sweep(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			checkWhole(t, s, content)
			if _, ok := s.Find(im.ID); ok != tt.held {
				t.Errorf("the image is here: %v", ok)
			}
			if list := s.List(); tt.held && len(list) != 1 {
				t.Errorf("the list is %v", list)
			}
			if got := names(t, s, "layers"); !tt.held && len(got) != 0 {
				t.Errorf("layers are %v", got)
			}
		})
	}
}

// A pull that ends the daemon each time is given up.
func TestCrashingPullIsGivenUp(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	r.push(t, "acme/app:1", imageOf(t, layerOf(t, file{name: "a"})))
	ref, dir := r.ref("acme/app:1"), t.TempDir()
	for range maxTakeUps + 1 {
		die(t, dir, "pull", ref, "layer.unpacked")
	}
	s := openStore(t, dir, Options{})
	im := mustFind(t, s, ref)
	if im.Status != Failed || !strings.Contains(im.Error, "each time") {
		t.Errorf("image is %+v", im)
	}
	mustPull(t, s, ref)
}

func TestOneDaemonPerStore(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), crashDirEnv+"="+s.dir, crashDoEnv+"=lock")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("a second daemon ended with %v: %s", err, out)
	}
	closeStore(t, s)
	die(t, s.dir, "lock", "", "")
}
