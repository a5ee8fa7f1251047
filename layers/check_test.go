package layers

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// flaws runs Check and wants so many, each line naming something.
func flaws(t testing.TB, s *Store, want int, name string) {
	t.Helper()
	var lines []string
	n, err := s.Check(t.Context(), func(line string) { lines = append(lines, line) })
	if err != nil {
		t.Fatal(err)
	}
	if n != want || len(lines) != want {
		t.Fatalf("%d flaws, want %d: %q", n, want, lines)
	}
	if want > 0 && !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, name) }) {
		t.Errorf("no line names %s: %q", name, lines)
	}
}

// mend runs Repair and wants so many flaws left.
func mend(t testing.TB, s *Store, left int) {
	t.Helper()
	var lines []string
	n, err := s.Repair(t.Context(), nil, func(line string) { lines = append(lines, line) })
	if err != nil {
		t.Fatal(err)
	}
	if n != left || len(lines) == 0 {
		t.Fatalf("%d flaws are left, want %d: %q", n, left, lines)
	}
}

// flip changes one byte of a file and nothing else of it.
func flip(t testing.TB, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, info.Size()/2); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x55
	if _, err := f.WriteAt(b, info.Size()/2); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
}

func TestCheckAndRepair(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	l := layerOf(t, file{name: "d", dir: true}, file{name: "d/a", content: noise(50, 5000)}, file{name: "b", link: "d/a"})
	img := imageOf(t, l, layerOf(t, file{name: "x/y", content: "above"}, file{name: ".wh.b"}, file{name: "d/.wh..wh..opq"}))
	r.push(t, "acme/app:1", img)
	for _, tt := range []struct {
		name   string
		damage func(s *Store, im *Image, infos []LayerInfo) (named string)
	}{
		{"a layer's blob", func(s *Store, _ *Image, infos []LayerInfo) string {
			flip(t, s.blobPath(infos[0].Blob))
			return infos[0].Blob
		}},
		{"the config", func(s *Store, im *Image, _ []LayerInfo) string {
			flip(t, s.blobPath(im.ID))
			return im.ID
		}},
		{"the manifest", func(s *Store, im *Image, _ []LayerInfo) string {
			flip(t, s.blobPath(im.Digest))
			return im.Digest
		}},
		{"a missing blob", func(s *Store, _ *Image, infos []LayerInfo) string {
			if err := os.Remove(s.blobPath(infos[1].Blob)); err != nil {
				t.Fatal(err)
			}
			return infos[1].Blob
		}},
		{"a file", func(_ *Store, _ *Image, infos []LayerInfo) string {
			flip(t, filepath.Join(infos[0].Path, "d/a"))
			return "has another content"
		}},
		{"a file's mode", func(_ *Store, _ *Image, infos []LayerInfo) string {
			if err := os.Chmod(filepath.Join(infos[1].Path, "x/y"), 0o600); err != nil {
				t.Fatal(err)
			}
			return "x/y"
		}},
		{"a missing whiteout", func(_ *Store, _ *Image, infos []LayerInfo) string {
			if err := os.Remove(filepath.Join(infos[1].Path, "b")); err != nil {
				t.Fatal(err)
			}
			return "/b"
		}},
		{"a device in a whiteout's place", func(_ *Store, _ *Image, infos []LayerInfo) string {
			at := filepath.Join(infos[1].Path, "b")
			if err := os.Remove(at); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mknod(at, unix.S_IFCHR, int(unix.Mkdev(1, 3))); err != nil {
				t.Fatal(err)
			}
			return "/b"
		}},
		{"a file too many", func(_ *Store, _ *Image, infos []LayerInfo) string {
			if err := os.WriteFile(filepath.Join(infos[1].Path, "x/z"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return "x/z"
		}},
		{"a directory", func(_ *Store, _ *Image, infos []LayerInfo) string {
			if err := os.RemoveAll(filepath.Join(infos[0].Path, "d")); err != nil {
				t.Fatal(err)
			}
			return "/d"
		}},
		{"a layer's record", func(_ *Store, _ *Image, infos []LayerInfo) string {
			flip(t, filepath.Join(infos[0].Path, "../layer.json"))
			return infos[0].Key
		}},
		{"a whole layer", func(_ *Store, _ *Image, infos []LayerInfo) string {
			if err := os.RemoveAll(filepath.Dir(infos[0].Path)); err != nil {
				t.Fatal(err)
			}
			return infos[0].Key
		}},
		{"an image's record", func(s *Store, _ *Image, _ []LayerInfo) string {
			name := names(t, s, "images")[0]
			if err := os.WriteFile(s.path("images", name), []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
			return name
		}},
		{"a missing record", func(s *Store, _ *Image, _ []LayerInfo) string {
			name := names(t, s, "images")[0]
			if err := os.Remove(s.path("images", name)); err != nil {
				t.Fatal(err)
			}
			return name
		}},
		{"a foreign record", func(s *Store, _ *Image, _ []LayerInfo) string {
			if err := os.WriteFile(s.path("images", "x.json"), []byte("hello"), 0o600); err != nil {
				t.Fatal(err)
			}
			return "x.json"
		}},
		{"strays", func(s *Store, _ *Image, _ []LayerInfo) string {
			if err := os.Mkdir(s.path("layers", "stray"), 0o700); err != nil {
				t.Fatal(err)
			}
			return "stray"
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := openStore(t, t.TempDir(), Options{})
			im := mustPull(t, s, r.ref("acme/app:1"))
			flaws(t, s, 0, "")
			infos, err := s.Layers(im.ID)
			if err != nil {
				t.Fatal(err)
			}
			named := tt.damage(s, im, infos)
			flaws(t, s, 1, named)
			mend(t, s, 0)
			flaws(t, s, 0, "")
			got := mustFind(t, s, im.Reference)
			if got.ID != im.ID || got.Status != Ready {
				t.Errorf("the image is %+v", got)
			}
			await(t, "what was left over to go", func() bool {
				return len(names(t, s, "ingest"))+len(names(t, s, "staging"))+len(names(t, s, "trash")) == 0
			})
			closeStore(t, s)
			s = openStore(t, s.dir, Options{})
			mustFind(t, s, im.ID)
			flaws(t, s, 0, "")
		})
	}
}

// A number in a layer's record that has become another is seen by who counts again.
func TestLayerRecordIsCounted(t *testing.T) {
	s, im := newFilled(t)
	infos, err := s.Layers(im.ID)
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	path := filepath.Join(filepath.Dir(infos[0].Path), "layer.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, bytes.Replace(text, []byte(`"entries": `), []byte(`"entries": 9`), 1))
	s = openStore(t, s.dir, Options{})
	flaws(t, s, 1, infos[0].Key)
	mend(t, s, 0)
	flaws(t, s, 0, "")
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, text) {
		t.Errorf("it says %s, %v", got, err)
	}
}

// What is lost for good is said to be so, and no more than that is lost.
func TestRepairWithoutRegistry(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	img := imageOf(t, layerOf(t, file{name: "a", content: noise(51, 5000)}))
	r.push(t, "acme/app:1", img)
	s := openStore(t, t.TempDir(), Options{Retries: -1})
	im := mustPull(t, s, r.ref("acme/app:1"))
	r.setBefore(func(*http.Request) int { return http.StatusNotFound })
	infos, err := s.Layers(im.ID)
	if err != nil {
		t.Fatal(err)
	}
	// Containers keep what is damaged below them.
	if err := s.Hold(im.ID, "one"); err != nil {
		t.Fatal(err)
	}
	flip(t, filepath.Join(infos[0].Path, "a"))
	mend(t, s, 1)
	s.Release(im.ID, "one")
	mend(t, s, 0)
	// A blob that is not to be had again is not needed either.
	flip(t, s.blobPath(infos[0].Blob))
	mend(t, s, 0)
	flaws(t, s, 0, "")
	mustFind(t, s, im.ID)
	// A config is.
	flip(t, s.blobPath(im.ID))
	mend(t, s, 0)
	flaws(t, s, 0, "")
	if got := mustFind(t, s, im.Reference); got.Status != Failed || got.Usable() {
		t.Errorf("the image is %+v", got)
	}
	r.setBefore(nil)
	if got := mustPull(t, s, im.Reference); got.ID != im.ID {
		t.Errorf("pulled again it is %+v", got)
	}
	flaws(t, s, 0, "")
}
