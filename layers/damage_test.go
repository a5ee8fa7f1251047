package layers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// damages are ways in which a file comes to harm.
var damages = []struct {
	name string
	do   func(path string) error
}{
	{"a byte flipped in the middle", func(path string) error { return flipAt(path, 2) }},
	{"the first byte flipped", func(path string) error { return flipAt(path, 0) }},
	{"cut short", func(path string) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		return os.Truncate(path, info.Size()/2)
	}},
	{"longer", func(path string) error {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString("more")
		if e := f.Close(); err == nil {
			err = e
		}
		return err
	}},
	{"emptied", func(path string) error { return os.Truncate(path, 0) }},
	{"removed", os.Remove},
	{"a directory", func(path string) error {
		if err := os.Remove(path); err != nil {
			return err
		}
		return os.MkdirAll(filepath.Join(path, "with/content"), 0o700)
	}},
	{"a link", func(path string) error {
		if err := os.Remove(path); err != nil {
			return err
		}
		return os.Symlink("/etc/passwd", path)
	}},
	{"a link to what never ends", func(path string) error {
		if err := os.Remove(path); err != nil {
			return err
		}
		return os.Symlink("/dev/zero", path)
	}},
	{"a fifo", func(path string) error {
		if err := os.Remove(path); err != nil {
			return err
		}
		return unix.Mkfifo(path, 0o600)
	}},
}

// flipAt changes a byte: the first, or with a divisor the one so far into the file.
func flipAt(path string, divisor int) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	at := 0
	if divisor > 0 {
		at = len(text) / divisor
	}
	text[at] ^= 0x55
	return os.WriteFile(path, text, 0o600)
}

// places are the files of a store.
var places = []struct {
	name string
	path func(s *Store, im *Image, infos []LayerInfo) (path, named string)
}{
	{"a compressed layer", func(s *Store, _ *Image, infos []LayerInfo) (string, string) {
		return s.blobPath(infos[0].Blob), infos[0].Blob
	}},
	{"the config", func(s *Store, im *Image, _ []LayerInfo) (string, string) { return s.blobPath(im.ID), im.ID }},
	{"the manifest", func(s *Store, im *Image, _ []LayerInfo) (string, string) { return s.blobPath(im.Digest), im.Digest }},
	{"a layer's record", func(s *Store, _ *Image, infos []LayerInfo) (string, string) {
		return s.path("layers", layerName(infos[1].Key), "layer.json"), infos[1].Key
	}},
	{"a file of a layer", func(_ *Store, _ *Image, infos []LayerInfo) (string, string) {
		return filepath.Join(infos[0].Path, "d/a"), "d/a"
	}},
	{"all files of a layer", func(_ *Store, _ *Image, infos []LayerInfo) (string, string) {
		return infos[1].Path, infos[1].Key
	}},
	{"an image's record", func(s *Store, im *Image, _ []LayerInfo) (string, string) {
		ref, err := parse("test", im.Reference)
		if err != nil {
			return err.Error(), ""
		}
		name := (&record{Reference: ref.String()}).fileName()
		return s.path("images", name), name
	}},
}

// TestDamage does every harm to every kind of file, while the store is open and while
// it is not: it opens, reading gives an error at most, Check names what is damaged,
// Repair mends it, and no other image is any the worse.
func TestDamage(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	shared := layerOf(t, file{name: "shared", content: noise(70, 3000)})
	img := imageOf(t, layerOf(t, file{name: "d", dir: true}, file{name: "d/a", content: noise(71, 5000)}),
		layerOf(t, file{name: "x/y", content: "above"}), shared)
	r.push(t, "acme/app:1", img)
	r.push(t, "acme/other:1", imageOf(t, shared))
	for _, place := range places {
		for _, damage := range damages {
			for _, when := range []string{"open", "closed"} {
				t.Run(place.name+"/"+damage.name+"/"+when, func(t *testing.T) {
					s := openStore(t, t.TempDir(), Options{})
					other := mustPull(t, s, r.ref("acme/other:1"))
					im := mustPull(t, s, r.ref("acme/app:1"))
					infos, err := s.Layers(im.ID)
					if err != nil {
						t.Fatal(err)
					}
					path, named := place.path(s, im, infos)
					if info, err := os.Stat(path); err == nil && info.IsDir() {
						if !forDirectories[damage.name] {
							return
						}
						if err := os.RemoveAll(path); err != nil {
							t.Fatal(err)
						}
						if err := os.WriteFile(path, nil, 0o600); err != nil {
							t.Fatal(err)
						}
					}
					if when == "closed" {
						closeStore(t, s)
					}
					if err := damage.do(path); err != nil {
						t.Fatal(err)
					}
					if when == "closed" {
						s = openStore(t, s.dir, Options{})
					}
					readAll(t, s)
					lines := checked(t, s)
					silent := when == "closed" && unseen(place.name, damage.name)
					if !silent && !strings.Contains(strings.Join(lines, "\n"), named) {
						t.Errorf("nothing names %s: %q", named, lines)
					}
					if left, err := s.Repair(t.Context(), nil, func(line string) { t.Log(line) }); err != nil || left != 0 {
						t.Errorf("%d flaws are left: %v", left, err)
					}
					if lines := checked(t, s); len(lines) > 0 {
						t.Errorf("after the repair: %q", lines)
					}
					if got := mustFind(t, s, other.Reference); got.ID != other.ID || got.Status != Ready {
						t.Errorf("the other image is %+v", got)
					}
					if place.name == "an image's record" && damage.name == "removed" && when == "closed" {
						mustPull(t, s, im.Reference) // nothing says any more that it was there
					}
					if got := mustFind(t, s, im.Reference); got.ID != im.ID || got.Status != Ready {
						t.Errorf("the image is %+v", got)
					}
					flaws(t, s, 0, "")
				})
			}
		}
	}
}

// forDirectories are the damages that can be done to a directory.
var forDirectories = map[string]bool{"removed": true, "a link": true, "a link to what never ends": true, "a fifo": true}

// unseen says whether a damage done to a closed store cannot be seen: nobody misses a
// compressed layer, or an image that he does not know of.
func unseen(place, damage string) bool {
	switch damage {
	case "removed", "a directory", "a link", "a link to what never ends", "a fifo":
		return place == "a compressed layer" || (place == "an image's record" && damage == "removed")
	default:
		return false
	}
}

func checked(t *testing.T, s *Store) (lines []string) {
	t.Helper()
	n, err := s.Check(t.Context(), func(line string) { lines = append(lines, line) })
	if err != nil || n != len(lines) {
		t.Fatalf("%d flaws in %q: %v", n, lines, err)
	}
	return lines
}

// readAll reads what can be read of every image; failing is all it may do.
func readAll(t *testing.T, s *Store) {
	t.Helper()
	for _, im := range s.List() {
		for _, read := range []func(string) ([]byte, error){s.Config, s.Manifest, s.History} {
			if _, err := read(im.Reference); err != nil && KindOf(err) == Removed && strings.Contains(err.Error(), "\n") {
				t.Error(err)
			}
		}
		if im.ID == "" {
			continue
		}
		if v, err := s.View(t.Context(), im.ID); err == nil {
			v.Release()
		}
		s.Usage()
	}
}
