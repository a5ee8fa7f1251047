package layers

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"
)

// Layers that take from those below are stored by chain ID, and are not taken for
// the same layer on another stack.
func TestLayersFromBelow(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	baseA := layerOf(t, file{name: "d", dir: true, mode: 0o700}, file{name: "d/f", content: "from A"})
	baseB := layerOf(t, file{name: "d", dir: true, mode: 0o750}, file{name: "d/f", content: "from B"})
	linker := layerOf(t, file{name: "d/g", link: "d/f"})
	orphan := layerOf(t, file{name: "d/h", content: "h"}) // d has no entry
	r.push(t, "acme/a:1", imageOf(t, baseA, linker, orphan))
	r.push(t, "acme/b:1", imageOf(t, baseB, linker, orphan))
	r.push(t, "acme/c:1", imageOf(t, orphan, baseA))
	s := openStore(t, t.TempDir(), Options{})
	refs := []string{r.ref("acme/a:1"), r.ref("acme/b:1"), r.ref("acme/c:1")}
	for _, ref := range refs { // all at once
		if err := s.Pull(t.Context(), ref, PullOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, ref := range refs {
		if err := s.Wait(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
	}
	for ref, want := range map[string]struct {
		content string
		mode    uint32
	}{refs[0]: {"from A", 0o700}, refs[1]: {"from B", 0o750}} {
		infos, err := s.Layers(ref)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(infos[1].Path, "d/g")); err != nil || string(b) != want.content {
			t.Errorf("%s: the link is %q, %v", ref, b, err)
		}
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(infos[2].Path, "d"), &st); err != nil || st.Mode&0o7777 != want.mode {
			t.Errorf("%s: the directory has mode %o, %v", ref, st.Mode, err)
		}
		for _, l := range infos[1:] {
			if l.Key == l.DiffID {
				t.Errorf("%s: a layer that takes from below is stored by diff ID", ref)
			}
		}
	}
	// baseA twice, linker twice, orphan three times (once as the lowest), baseB once.
	if got := names(t, s, "layers"); len(got) != 7 {
		t.Errorf("layers are %v", got)
	}
	again := r.requestsOf(digestOf(t, linker))
	for _, ref := range refs {
		if _, err := s.Remove(t.Context(), ref, false, 0); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, s, "layers"); len(got) != 0 {
		t.Errorf("layers are %v", got)
	}
	if again > 2 {
		t.Errorf("the linking layer was fetched %d times", again)
	}
}

// An image with the same layer twice, and one with none, can be mounted.
func TestMountOddImages(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	twice := layerOf(t, file{name: "a", content: "1"})
	r.push(t, "acme/twice:1", imageOf(t, twice, layerOf(t, file{name: "a", content: "2"}), twice))
	r.push(t, "acme/none:1", imageOf(t))
	r.push(t, "acme/one:1", imageOf(t, twice))
	s := openStore(t, t.TempDir(), Options{})
	for rest, want := range map[string][]string{"twice:1": {"a"}, "none:1": nil, "one:1": {"a"}} {
		im := mustPull(t, s, r.ref("acme/"+rest))
		m, err := s.Mount(t.Context(), im.ID, nil, nil, 0, true)
		if err != nil {
			t.Fatal(err)
		}
		if got := readNames(t, m); !slices.Equal(got, want) {
			t.Errorf("%s holds %v, want %v", rest, got, want)
		}
		if want != nil {
			if got := readFile(t, m, "a"); got != "1" {
				t.Errorf("%s has %q in a", rest, got)
			}
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestMountWithUpper(t *testing.T) {
	s, im := newFilled(t)
	upper, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer upper.Close()
	m, err := s.Mount(t.Context(), im.ID, upper, nil, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := unix.Mkdirat(int(m.Fd()), "new", 0o755); err != nil {
		t.Fatal(err)
	}
	if got := readNames(t, m); !slices.Equal(got, []string{"a", "b", "new"}) {
		t.Errorf("it holds %v", got)
	}
	_, err = s.Mount(t.Context(), "sha256:"+strings.Repeat("0", 64), nil, nil, 0, true)
	wantKind(t, err, NotFound)
}

func TestView(t *testing.T) {
	s, im := newFilled(t)
	s.views.idle = 1 // nanosecond
	first, err := s.View(t.Context(), im.ID)
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.View(t.Context(), im.ID)
	if err != nil {
		t.Fatal(err)
	}
	one, two := first.Dir, second.Dir
	if one != two {
		t.Error("two views at once are not one mount")
	}
	if got := readNames(t, one); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("it holds %v", got)
	}
	if err := unix.Mkdirat(int(one.Fd()), "new", 0o755); !errors.Is(err, unix.EROFS) {
		t.Errorf("writing to it: %v", err)
	}
	first.Release()
	first.Release() // once more is no harm
	if got := readNames(t, two); len(got) != 2 {
		t.Errorf("after one release it holds %v", got)
	}
	second.Release()
	mounted := func() bool { s.views.mu.Lock(); defer s.views.mu.Unlock(); return len(s.views.byID) > 0 }
	await(t, "the idle view to be dropped", func() bool { return !mounted() })
	third, err := s.View(t.Context(), im.ID)
	if err != nil {
		t.Fatal(err)
	}
	again := third.Dir
	if third.Gone() || third.Mark != first.Mark {
		t.Errorf("the same image mounted again is gone (%v) or another: %d, %d", third.Gone(), third.Mark, first.Mark)
	}
	if _, err := s.Remove(t.Context(), im.ID, false, 0); err != nil {
		t.Fatal(err)
	}
	if mounted() {
		t.Error("a removed image can still be looked at")
	}
	if _, err := again.Stat(); err != nil {
		t.Errorf("who looks at it lost it: %v", err)
	}
	if !third.Gone() {
		t.Error("who looks at a removed image is not told")
	}
	third.Release()
	if _, err := again.Stat(); err == nil {
		t.Error("its mount was not given up")
	}
	_, err = s.View(t.Context(), im.ID)
	wantKind(t, err, NotFound)
}

func readNames(t *testing.T, dir *os.File) []string {
	t.Helper()
	fd, err := unix.Openat(int(dir.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), ".")
	defer f.Close()
	list, err := f.Readdirnames(-1)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	if len(list) == 0 {
		return nil
	}
	return list
}

func readFile(t *testing.T, dir *os.File, name string) string {
	t.Helper()
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Images that have the same layers in opposite orders, each of which takes from
// those below it, must not wait for each other when they arrive together.
func TestOppositeOrders(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	x, y, z := layerOf(t, file{name: "d/x"}), layerOf(t, file{name: "d/y"}), layerOf(t, file{name: "d/z"})
	orders := map[string]v1.Image{
		"xyz": imageOf(t, x, y, z), "zyx": imageOf(t, z, y, x), "yxz": imageOf(t, y, x, z), "zxy": imageOf(t, z, x, y),
	}
	for order, img := range orders {
		r.push(t, "acme/"+order+":1", img)
	}
	s := openStore(t, t.TempDir(), Options{})
	for order := range orders {
		if err := s.Pull(t.Context(), r.ref("acme/"+order+":1"), PullOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for order := range orders {
		if err := s.Wait(t.Context(), r.ref("acme/"+order+":1")); err != nil {
			t.Fatal(err)
		}
	}
}

// A layer that takes from those below is shared by two pulls; the one that began
// it goes away, and with it the layers it would have lent.
func TestCancelLender(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	base := layerOf(t, file{name: "d", dir: true, mode: 0o700}, file{name: "d/f", content: "below"})
	linker := layerOf(t, file{name: "d/g", link: "d/f"})
	r.push(t, "acme/a:1", imageOf(t, base, linker))
	r.push(t, "acme/b:1", imageOf(t, base, linker, layerOf(t, file{name: "b"})))
	gate := make(chan struct{})
	r.setBlob(func(digest string) blobFault {
		if digest == digestOf(t, linker) {
			return blobFault{wait: gate}
		}
		return blobFault{}
	})
	s := openStore(t, t.TempDir(), Options{})
	a, b := r.ref("acme/a:1"), r.ref("acme/b:1")
	shared := func(n int) func() bool {
		return func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, u := range s.unpacks {
				if u.layer.Digest == digestOf(t, linker) {
					return u.refs == n
				}
			}
			return false
		}
	}
	for i, ref := range []string{a, b} {
		if err := s.Pull(t.Context(), ref, PullOptions{Budget: time.Minute}); err != nil {
			t.Fatal(err)
		}
		await(t, "the pull to want the layer", shared(i+1))
	}
	if err := s.Cancel(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	close(gate)
	if err := s.Wait(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	infos, err := s.Layers(b)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(infos[1].Path, "d/g")); err != nil || string(got) != "below" {
		t.Errorf("the link is %q, %v", got, err)
	}
}
