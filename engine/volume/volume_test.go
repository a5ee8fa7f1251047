package volume

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// trash is where a test's store puts what is to be deleted.
type trash struct {
	mu    sync.Mutex
	paths []string
}

func (t *trash) put(path string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.paths = append(t.paths, path)
}

func open(t *testing.T, dir string) (*Store, *trash) {
	t.Helper()
	bin := &trash{}
	s, err := Open(Options{Dir: dir, Discard: bin.put})
	check(t, err)
	return s, bin
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t *testing.T, err error, want Kind) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Kind != want {
		t.Errorf("%v is not of kind %d", err, want)
	}
}

func TestLife(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	v, err := s.Create(New{Name: "db", UID: 7, GID: 8})
	check(t, err)
	if v.UID != 7 || v.GID != 8 || v.Created.IsZero() || v.Anonymous || len(v.Users) > 0 {
		t.Errorf("%+v", v)
	}
	_, err = s.Create(New{Name: "db"})
	wantKind(t, err, Exists)
	for _, name := range []string{"", ".", "..", ".new-x", "a/b", "a b", "-a", "a\n", strings.Repeat("x", 129), "ä"} {
		_, err := s.Create(New{Name: name})
		wantKind(t, err, Invalid)
	}
	s.Use("one", 0, []string{"db", "absent"})
	s.Use("two", 0, []string{"db"})
	if v, _ := s.Find("db"); len(v.Users) != 2 || v.Users[0] != "one" {
		t.Errorf("%+v", v)
	}
	s.Use("stranger", 9, []string{"db"}) // which may not have it
	if v, _ := s.Find("db"); len(v.Users) != 2 {
		t.Errorf("%+v", v)
	}
	wantKind(t, s.Remove(t.Context(), "db", true), Busy)
	s.Use("one", 0, nil)
	s.Use("two", 0, []string{"absent"})
	check(t, os.WriteFile(filepath.Join(dir, "db/data/file"), nil, 0o600))
	wantKind(t, s.Spare("db"), NotEmpty)
	wantKind(t, s.Remove(t.Context(), "db", false), NotEmpty)
	again, _ := open(t, dir) // another daemon finds it
	if w, ok := again.Find("db"); !ok || !w.Created.Equal(v.Created) || w.UID != 7 {
		t.Errorf("%+v", w)
	}
	check(t, s.Remove(t.Context(), "db", true))
	wantKind(t, s.Remove(t.Context(), "db", true), NotFound)
	if _, ok := s.Find("db"); ok || len(s.List()) > 0 {
		t.Error("it is there still")
	}
	_, err = s.Create(New{Name: "db"})
	check(t, err)
	check(t, s.Remove(t.Context(), "db", false))
}

// What a daemon left half done is finished or undone by the next one, and what is no volume is left alone.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	for _, name := range []string{"whole", "emptied", "copied", "broken"} {
		_, err := s.Create(New{Name: name, UID: 7})
		check(t, err)
	}
	check(t, os.Remove(filepath.Join(dir, "emptied/data")))
	check(t, os.MkdirAll(filepath.Join(dir, "copied/seed-1/x"), 0o755))
	check(t, os.WriteFile(filepath.Join(dir, "broken/volume.json"), []byte("{"), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "broken/data/kept"), nil, 0o600))
	check(t, os.MkdirAll(filepath.Join(dir, ".new-1/data"), 0o755))
	check(t, os.MkdirAll(filepath.Join(dir, ".gone-1/data"), 0o755))
	check(t, os.WriteFile(filepath.Join(dir, "notes"), nil, 0o600))
	check(t, os.Symlink("/etc", filepath.Join(dir, "link")))

	s, bin := open(t, dir)
	var names []string
	for _, v := range s.List() {
		names = append(names, v.Name)
	}
	if got := strings.Join(names, " "); got != "broken copied whole" {
		t.Errorf("there are %s", got)
	}
	if len(bin.paths) != 4 {
		t.Errorf("to be deleted: %v", bin.paths)
	}
	if exists(filepath.Join(dir, "copied/seed-1")) || !exists(filepath.Join(dir, "broken/data/kept")) || !exists(filepath.Join(dir, "notes")) {
		t.Error("the wrong things are gone")
	}
	var lines []string
	report := func(line string) { lines = append(lines, line) }
	if n := s.Check(false, report); n != 1 || !strings.Contains(lines[0], "broken") {
		t.Errorf("%d flaws: %v", n, lines)
	}
	if n := s.Check(true, report); n != 0 {
		t.Errorf("%d flaws are left: %v", n, lines)
	}
	s, _ = open(t, dir)
	if n := s.Check(false, report); n != 0 {
		t.Errorf("%d flaws after the repair: %v", n, lines)
	}
}

// from is a source that is a directory.
func from(dir string) Source {
	return func(context.Context) (*os.File, error) { return os.Open(dir) }
}

func TestFilling(t *testing.T) {
	dir, image := t.TempDir(), t.TempDir()
	check(t, os.WriteFile(filepath.Join(image, "file"), []byte("of the image"), 0o640))
	check(t, os.Chmod(image, 0o750|os.ModeSetgid))
	s, _ := open(t, dir)
	fill := func(name string) {
		t.Helper()
		check(t, s.Fill(t.Context(), name, from(image)))
	}
	take := func(name, container string) *os.File {
		t.Helper()
		f, err := s.Take(t.Context(), name, container)
		check(t, err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	has := func(name string) bool { return exists(filepath.Join(dir, name, "data/file")) }
	_, err := s.Create(New{Name: "v"})
	check(t, err)
	before, err := s.Look("v")
	check(t, err)
	defer before.Dir.Close()
	fill("v")
	if !has("v") || !before.Gone() {
		t.Error("it was not filled, or an earlier view does not know")
	}
	st, err := take("v", "one").Stat()
	check(t, err)
	if st.Mode() != os.ModeDir|os.ModeSetgid|0o750 {
		t.Errorf("its top is %v", st.Mode())
	}
	// While somebody runs with it nothing is put beneath him.
	check(t, os.Remove(filepath.Join(dir, "v/data/file")))
	fill("v")
	take("v", "two")
	s.Give("v", "one")
	fill("v")
	if has("v") {
		t.Error("it was filled beneath a container")
	}
	wantKind(t, s.Remove(t.Context(), "v", true), Busy)
	s.Leave("two")
	// What is in it already stays.
	check(t, os.WriteFile(filepath.Join(dir, "v/data/own"), nil, 0o600))
	fill("v")
	if has("v") {
		t.Error("a volume with files was filled")
	}
	// A source that fails leaves it as it was, and so does one of a volume that is removed meanwhile.
	_, err = s.Create(New{Name: "w"})
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	err = s.Fill(ctx, "w", func(context.Context) (*os.File, error) { return nil, unix.ENOSPC })
	if !errors.Is(err, unix.ENOSPC) {
		t.Error(err)
	}
	check(t, s.Fill(ctx, "w", func(context.Context) (*os.File, error) { return nil, nil }))
	wantKind(t, s.Fill(ctx, "w", func(context.Context) (*os.File, error) {
		cancel()
		return os.Open(image)
	}), Interrupted)
	s.o.Crash = func(point string) {
		if point == PointCopied {
			check(t, s.Remove(t.Context(), "w", true))
			_, err := s.Create(New{Name: "w"})
			check(t, err)
		}
	}
	wantKind(t, s.Fill(t.Context(), "w", from(image)), NotFound)
	s.o.Crash = nil
	files, err := os.ReadDir(filepath.Join(dir, "w"))
	check(t, err)
	if has("w") || len(files) != 2 {
		t.Error("half a copy is left")
	}
	check(t, s.Remove(t.Context(), "w", false))
	_, err = s.Take(t.Context(), "w", "five")
	wantKind(t, err, NotFound)
	wantKind(t, s.Fill(t.Context(), "w", from(image)), NotFound)
}

// Two starts at once make one volume, and fill it once.
func TestTogether(t *testing.T) {
	dir, image := t.TempDir(), t.TempDir()
	check(t, os.WriteFile(filepath.Join(image, "file"), []byte("x"), 0o640))
	s, _ := open(t, dir)
	var work sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for _, container := range strings.Fields("a b c d e f g h") {
		work.Go(func() {
			_, fresh, err := s.Ensure(t.Context(), New{Name: "v"})
			if err != nil {
				t.Error(err)
			}
			if err := s.Fill(t.Context(), "v", from(image)); err != nil {
				t.Error(err)
			}
			f, err := s.Take(t.Context(), "v", container)
			if err != nil {
				t.Error(err)
				return
			}
			f.Close()
			mu.Lock()
			defer mu.Unlock()
			if fresh {
				made++
			}
		})
	}
	work.Wait()
	if v, ok := s.Find("v"); !ok || made != 1 || !exists(filepath.Join(dir, "v/data/file")) {
		t.Errorf("%+v, made %d times", v, made)
	}
	if s.volumes["v"].fills != 1 {
		t.Errorf("filled %d times", s.volumes["v"].fills)
	}
}

func TestSize(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	_, err := s.Create(New{Name: "v"})
	check(t, err)
	check(t, os.MkdirAll(filepath.Join(dir, "v/data/a/b"), 0o755))
	check(t, os.WriteFile(filepath.Join(dir, "v/data/a/b/file"), make([]byte, 1000), 0o600))
	check(t, os.Symlink("/usr", filepath.Join(dir, "v/data/usr")))
	later := func(func(context.Context)) { t.Error("it is small") }
	if _, ok := s.Known("v"); ok {
		t.Error("nobody has looked")
	}
	if n, ok := s.Size(t.Context(), "v", later); !ok || n != 1000 {
		t.Error(n, ok)
	}
	if n, ok := s.Known("v"); !ok || n != 1000 {
		t.Error(n, ok)
	}
	// A large one is counted in its own time.
	s.most = 100
	for i := range s.most {
		check(t, os.WriteFile(filepath.Join(dir, "v/data/a", itoa(i)), nil, 0o600))
	}
	s.Give("v", "none") // somebody has used it
	var count func(context.Context)
	if n, ok := s.Size(t.Context(), "v", func(f func(context.Context)) { count = f }); !ok || n != 1000 {
		t.Error(n, ok)
	}
	check(t, os.WriteFile(filepath.Join(dir, "v/data/more"), make([]byte, 500), 0o600))
	count(t.Context())
	if n, ok := s.Size(t.Context(), "v", later); !ok || n != 1500 {
		t.Error(n, ok)
	}
}
