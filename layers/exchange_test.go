package layers

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func save(t testing.TB, s *Store, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.Save(t.Context(), &b, names, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func mustLoad(t testing.TB, s *Store, archive []byte) []string {
	t.Helper()
	names, err := s.Load(t.Context(), bytes.NewReader(archive), 7)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// dockerArchive is what older Dockers save: layers that are not compressed.
func dockerArchive(t testing.TB, ref string, img v1.Image) []byte {
	t.Helper()
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tarball.Write(tag, img, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSaveAndLoad(t *testing.T) {
	s, im := newFilled(t)
	if err := s.Tag(t.Context(), im.ID, "redis", false, 0); err != nil {
		t.Fatal(err)
	}
	saved := save(t, s, "redis", im.Reference)
	if again := save(t, s, "redis", im.Reference); !bytes.Equal(saved, again) {
		t.Error("saved twice, the archives differ")
	}
	other := openStore(t, t.TempDir(), Options{})
	if got := mustLoad(t, other, saved); !slices.Contains(got, "redis:latest") || !slices.Contains(got, im.Reference) {
		t.Errorf("the names are %v", got)
	}
	got := mustFind(t, other, "redis")
	if got.ID != im.ID || got.Status != Ready || got.By != 7 || got.Size != im.Size {
		t.Errorf("here it was %+v, there it is %+v", im, got)
	}
	if again := save(t, other, "redis", im.Reference); !bytes.Equal(saved, again) {
		t.Error("saved there, the archive differs")
	}
	m, err := other.Mount(t.Context(), got.ID, nil, nil, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	// Loaded again, nothing changes.
	mustLoad(t, other, saved)
	if l, b := names(t, other, "layers"), names(t, other, "blobs/sha256"); len(l) != 2 || len(b) != 4 {
		t.Errorf("layers are %v, blobs %v", l, b)
	}
	await(t, "what was left over to go", func() bool {
		return len(names(t, other, "ingest"))+len(names(t, other, "staging"))+len(names(t, other, "trash")) == 0
	})
}

// An image without a name stays until it is removed, over restarts too.
func TestLoadWithoutName(t *testing.T) {
	s, im := newFilled(t)
	saved := save(t, s, im.ID)
	other := openStore(t, t.TempDir(), Options{})
	if got := mustLoad(t, other, saved); !slices.Equal(got, []string{im.ID}) {
		t.Errorf("the names are %v", got)
	}
	closeStore(t, other)
	other = openStore(t, other.dir, Options{})
	if got := mustFind(t, other, im.ID); got.Reference != "" || !got.Usable() {
		t.Errorf("it is %+v", got)
	}
	if err := other.Hold(im.ID, "one"); err != nil {
		t.Fatal(err)
	}
	other.Release(im.ID, "one")
	mustFind(t, other, im.ID)
	if _, err := other.Remove(t.Context(), im.ID, false, 0); err != nil {
		t.Fatal(err)
	}
	if got := slices.Concat(names(t, other, "images"), names(t, other, "layers"), names(t, other, "blobs/sha256")); len(got) != 0 {
		t.Errorf("the store holds %v", got)
	}
}

// The layers are here, but compressed otherwise: what was loaded is what is saved.
func TestLoadOtherCompression(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	img := imageOf(t, layerOf(t, file{name: "a", content: strings.Repeat("a", 10_000)}))
	r.push(t, "acme/app:1", img)
	s := openStore(t, t.TempDir(), Options{})
	im := mustPull(t, s, r.ref("acme/app:1"))
	content, err := func() ([]byte, error) {
		l, err := img.Layers()
		if err != nil {
			return nil, err
		}
		rc, err := l[0].Uncompressed()
		if err != nil {
			return nil, err
		}
		defer rc.Close()
		return io.ReadAll(rc)
	}()
	if err != nil {
		t.Fatal(err)
	}
	plain := imageOf(t, rawLayer(t, content))
	if got := mustLoad(t, s, dockerArchive(t, "docker.io/library/plain:1", plain)); !slices.Equal(got, []string{"plain:1"}) {
		t.Errorf("the names are %v", got)
	}
	if got := mustFind(t, s, "plain:1"); got.ID != im.ID {
		t.Errorf("pulled it is %+v, loaded %+v", im, got)
	}
	if len(save(t, s, "plain:1")) < len(content) {
		t.Error("the saved archive is too short")
	}
	if got := names(t, s, "layers"); len(got) != 1 {
		t.Errorf("layers are %v", got)
	}
}

func TestLoadRefuses(t *testing.T) {
	needRoot(t)
	good := dockerArchive(t, "docker.io/library/app:1", imageOf(t, layerOf(t, file{name: "a", content: noise(30, 100_000)})))
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	for _, tt := range []struct {
		name    string
		archive io.Reader
		kind    Kind
	}{
		{"nothing", strings.NewReader(""), Invalid},
		{"text", strings.NewReader("hello"), Invalid},
		{"cut", bytes.NewReader(good[:len(good)/2]), Corrupt},
		{"flipped", bytes.NewReader(flipped), Corrupt},
		{"lying", bytes.NewReader(dockerArchive(t, "docker.io/library/app:1", imageOf(t, lyingLayer{layerOf(t, file{name: "a"})}))), Corrupt},
		{"hostile", bytes.NewReader(dockerArchive(t, "docker.io/library/app:1", imageOf(t, layerOf(t, file{name: "../../etc/x"})))), Corrupt},
		{"unreadable", io.MultiReader(bytes.NewReader(good[:1000]), &failing{}), System},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := openStore(t, t.TempDir(), Options{})
			got, err := s.Load(t.Context(), tt.archive, 0)
			wantKind(t, err, tt.kind)
			if len(got) != 0 || len(s.List()) != 0 {
				t.Errorf("the names are %v, the images %v", got, s.List())
			}
			if got := slices.Concat(names(t, s, "images"), names(t, s, "layers"), names(t, s, "blobs/sha256"), names(t, s, "ingest")); len(got) != 0 {
				t.Errorf("the store holds %v", got)
			}
			await(t, "what was left over to go", func() bool { return len(names(t, s, "staging"))+len(names(t, s, "trash")) == 0 })
		})
	}
}

type failing struct{}

func (*failing) Read([]byte) (int, error) { return 0, errors.New("the tape is torn") }

func TestSaveFails(t *testing.T) {
	s, im := newFilled(t)
	wantKind(t, s.Save(t.Context(), io.Discard, nil, nil), Invalid)
	wantKind(t, s.Save(t.Context(), io.Discard, []string{im.ID, "nosuch"}, nil), NotFound)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	wantKind(t, s.Save(gone, io.Discard, []string{im.ID}, nil), Cancelled)
	infos, err := s.Layers(im.ID)
	if err != nil {
		t.Fatal(err)
	}
	path := s.blobPath(infos[0].Blob)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)-1] ^= 1
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	wantKind(t, s.Save(t.Context(), io.Discard, []string{im.ID}, nil), Corrupt)
}

// upperOf is a container's directory with an upper/.
func upperOf(t testing.TB, files map[string]string) *os.File {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"upper", "work"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, "upper", name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestCommit(t *testing.T) {
	s, im := newFilled(t)
	o := CommitOptions{
		Base: im.ID, Upper: upperOf(t, map[string]string{"new": "content"}), Container: strings.Repeat("ab", 32),
		Author: "A", Message: "m", By: 7,
		Edit: func(c *v1.Config) { c.Cmd = []string{"/new", "now"} },
	}
	id, err := s.Commit(t.Context(), "me/app:2", o)
	if err != nil {
		t.Fatal(err)
	}
	got := mustFind(t, s, "me/app:2")
	if got.ID != id || got.Platform != im.Platform || got.By != 7 {
		t.Errorf("it is %+v", got)
	}
	c, err := s.ImageConfig(id)
	if err != nil {
		t.Fatal(err)
	}
	last := c.History[len(c.History)-1]
	if len(c.RootFS.DiffIDs) != 3 || len(c.History) != 3 || last.CreatedBy != "/new now" || last.Comment != "m" ||
		last.Author != "A" || last.EmptyLayer || c.Author != "A" || !slices.Equal(c.Config.Cmd, []string{"/new", "now"}) ||
		!slices.Equal(c.Config.Env, []string{"PATH=/bin"}) || c.Container != o.Container {
		t.Errorf("its config is %+v", c)
	}
	infos, err := s.Layers(id)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(infos[2].Path, "new")); err != nil || string(b) != "content" {
		t.Errorf("its layer holds %q, %v", b, err)
	}
	// It goes where any image goes.
	r := newRegistry(t)
	if err := s.Tag(t.Context(), id, r.ref("me/app:2"), false, 0); err != nil {
		t.Fatal(err)
	}
	if err := pushNow(t, s, r.ref("me/app:2")); err != nil {
		t.Fatal(err)
	}
	other := openStore(t, t.TempDir(), Options{})
	if there := mustPull(t, other, r.ref("me/app:2")); there.ID != id {
		t.Errorf("pulled it is %+v", there)
	}
	mustLoad(t, other, save(t, s, "me/app:2"))
	// Its base may go.
	if _, err := s.Remove(t.Context(), im.Reference, false, 0); err != nil {
		t.Fatal(err)
	}
	m, err := s.Mount(t.Context(), id, nil, nil, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	await(t, "what was left over to go", func() bool { return len(names(t, s, "staging"))+len(names(t, s, "trash")) == 0 })
}

// Without changes there is no layer; without a target no tag.
func TestCommitEmpty(t *testing.T) {
	s, im := newFilled(t)
	id, err := s.Commit(t.Context(), "", CommitOptions{Base: im.ID, Upper: upperOf(t, nil)})
	if err != nil {
		t.Fatal(err)
	}
	got := mustFind(t, s, id)
	c, err := s.ImageConfig(id)
	if err != nil {
		t.Fatal(err)
	}
	if got.Reference != "" || len(c.RootFS.DiffIDs) != 2 || !c.History[2].EmptyLayer {
		t.Errorf("it is %+v, its config %+v", got, c)
	}
	never, err := os.Open(t.TempDir()) // of a container that was never started
	if err != nil {
		t.Fatal(err)
	}
	defer never.Close()
	if id, err = s.Commit(t.Context(), "", CommitOptions{Base: im.ID, Upper: never}); err != nil {
		t.Fatal(err)
	}
	if c, err = s.ImageConfig(id); err != nil || len(c.RootFS.DiffIDs) != 2 || len(c.History) != 3 {
		t.Errorf("its config is %+v, %v", c, err)
	}
	wantKind(t, func() error { _, err := s.Commit(t.Context(), "X", CommitOptions{Base: im.ID}); return err }(), Invalid)
	wantKind(t, func() error { _, err := s.Commit(t.Context(), "x", CommitOptions{Base: "none"}); return err }(), NotFound)
}

// What a start has made to mount on is in no layer, as long as it is nothing else.
func TestCommitPlaces(t *testing.T) {
	s, im := newFilled(t)
	upper := upperOf(t, map[string]string{"kept": "", "filled": "content"})
	for _, d := range []string{"dev", "used/sub", "etc"} {
		if err := os.MkdirAll(filepath.Join(upper.Name(), "upper", d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"etc/hosts", "a"} {
		if err := os.WriteFile(filepath.Join(upper.Name(), "upper", f), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	places := []string{"/dev", "/used", "/filled", "/etc/hosts", "/a", "/proc", "/no/where"}
	id, err := s.Commit(t.Context(), "", CommitOptions{Base: im.ID, Upper: upper, Places: places})
	if err != nil {
		t.Fatal(err)
	}
	infos, err := s.Layers(id)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	root := infos[len(infos)-1].Path
	err = filepath.WalkDir(root, func(p string, _ os.DirEntry, err error) error {
		if rel, _ := filepath.Rel(root, p); rel != "." {
			got = append(got, rel)
		}
		return err
	})
	// The image has a, and no etc: that is the container's own.
	if want := []string{"a", "etc", "filled", "kept", "used", "used/sub"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("the layer holds %q, want %q, %v", got, want, err)
	}
}

// A daemon that dies on the way leaves the image whole or not at all.
func TestCrashWhileLanding(t *testing.T) {
	needRoot(t)
	content := noise(31, 50_000)
	r := newRegistry(t)
	base := imageOf(t, layerOf(t, file{name: "file0", content: content}))
	r.push(t, "acme/app:1", base)
	ref := r.ref("acme/app:1")
	saved := filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(saved, dockerArchive(t, "docker.io/library/loaded:1",
		imageOf(t, layerOf(t, file{name: "file0", content: content}), layerOf(t, file{name: "file1", content: content}))), 0o600); err != nil {
		t.Fatal(err)
	}
	upper := upperOf(t, map[string]string{"file1": content})
	for _, do := range []struct{ what, arg, target string }{
		{"load", saved, "loaded:1"},
		{"commit", ref + " " + upper.Name(), "made:1"},
	} {
		points := arrivalPoints()
		if do.what == "commit" {
			points = append(points, "commit.packed")
		}
		for _, point := range points {
			t.Run(do.what+" "+point, func(t *testing.T) {
				s := openStore(t, t.TempDir(), Options{})
				first := mustPull(t, s, ref)
				closeStore(t, s)
				die(t, s.dir, do.what, do.arg, point)
				s = openStore(t, s.dir, Options{})
				checkWhole(t, s, content)
				mustFind(t, s, first.Reference)
				if _, here := s.Find(do.target); here != (point == "record.renamed") {
					t.Errorf("it is here: %v", here)
				} else if !here {
					if l, b := names(t, s, "layers"), names(t, s, "blobs/sha256"); len(l) != 1 || len(b) != 3 {
						t.Errorf("layers are %v, blobs %v", l, b)
					}
				}
				await(t, "what was left over to go", func() bool {
					return len(names(t, s, "ingest"))+len(names(t, s, "staging"))+len(names(t, s, "trash")) == 0
				})
				closeStore(t, s)
				die(t, s.dir, do.what, do.arg, "")
				s = openStore(t, s.dir, Options{})
				checkWhole(t, s, content)
				mustFind(t, s, do.target)
			})
		}
	}
}
