package layers

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// bytesBelow is how many bytes the regular files below a directory have, each once
// whatever its number of names.
func bytesBelow(t *testing.T, dir string) (n int64) {
	t.Helper()
	seen := map[uint64]bool{}
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && !seen[st.Ino] {
			seen[st.Ino] = true
			n += info.Size()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestUsageIsTrue compares what the store says it takes with what is on the disk.
func TestUsageIsTrue(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	shared := layerOf(t, file{name: "a", content: noise(80, 70_000)}, file{name: "b", link: "a"})
	r.push(t, "acme/one:1", imageOf(t, shared, layerOf(t, file{name: "one", content: noise(81, 5000)})))
	r.push(t, "acme/two:1", imageOf(t, shared,
		layerOf(t, file{name: "c", link: "a"}, file{name: "d", link: "a"}, file{name: "two", content: noise(82, 999)})))
	s := openStore(t, t.TempDir(), Options{})
	compare := func(when string) Usage {
		t.Helper()
		await(t, "the trash to be emptied", func() bool { return len(names(t, s, "trash"))+len(names(t, s, "staging")) == 0 })
		var trees int64
		for _, l := range names(t, s, "layers") {
			trees += bytesBelow(t, s.path("layers", l, "diff"))
		}
		u := s.Usage()
		if blobs := bytesBelow(t, s.path("blobs")); u.LayerBytes != trees || u.BlobBytes != blobs || u.Arriving != 0 {
			t.Errorf("%s it says %d in layers and %d in blobs, and there are %d and %d", when, u.LayerBytes, u.BlobBytes, trees, blobs)
		}
		return u
	}
	one := mustPull(t, s, r.ref("acme/one:1"))
	if u := compare("with one image"); u.Shared != 0 || u.Spare != u.LayerBytes+u.BlobBytes {
		t.Errorf("with one image it says %+v", u)
	}
	two := mustPull(t, s, r.ref("acme/two:1"))
	if u := compare("with two images"); u.Shared != 70_000 || u.Images != 2 || u.Layers != 3 {
		t.Errorf("with two images it says %+v", u)
	}
	for _, im := range s.ImageUsages() {
		want := map[string]int64{one.ID: 5000, two.ID: 70_999}[im.ID] // the links to what is below are a copy of it
		if im.Shared != 70_000 || im.Unique != want || im.Size != im.Shared+im.Unique {
			t.Errorf("of an image it says %+v", im)
		}
	}
	closeStore(t, s)
	s = openStore(t, s.dir, Options{})
	compare("opened again")
	// What is said to come free does.
	before := bytesBelow(t, s.dir)
	said, err := s.Prune(t.Context(), PruneOptions{All: true, DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	done, err := s.Prune(t.Context(), PruneOptions{All: true})
	if err != nil {
		t.Fatal(err)
	}
	u := compare("with none")
	freed := before - bytesBelow(t, s.dir)
	if said.Bytes != done.Bytes || freed < done.Bytes || freed > done.Bytes+16<<10 || u.LayerBytes+u.BlobBytes != 0 { // records go too
		t.Errorf("%d bytes were said to go, %d to have gone, and %d went; then it says %+v", said.Bytes, done.Bytes, freed, u)
	}
}

// BenchmarkOpen opens a store of many images and tags.
func BenchmarkOpen(b *testing.B) {
	needRoot(b)
	for _, n := range []int{500, 2000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := openStore(b, b.TempDir(), Options{})
			manyImages(b, s, n)
			closeStore(b, s)
			b.ResetTimer()
			for b.Loop() {
				s := openStore(b, s.dir, Options{})
				if got := len(s.List()); got != 2*n {
					b.Fatalf("%d of %d", got, 2*n)
				}
				closeStore(b, s)
			}
		})
	}
}

// manyImages writes records of n images with a tag and n without, each of two layers
// and two documents.
func manyImages(b *testing.B, s *Store, n int) {
	b.Helper()
	for i := range 2 * n {
		digest := func(what string) string { return sumOf(fmt.Append(nil, what, i)) }
		im := &stored{ID: digest("id"), Manifest: digest("manifest"), Platform: "linux/amd64"}
		for _, what := range []string{"lower", "upper"} {
			l := &layer{DiffID: digest(what), ChainID: digest(what)}
			im.Layers = append(im.Layers, storedLayer{Blob: digest("blob" + what), DiffID: l.DiffID, Key: l.DiffID, Sources: []string{"docker.io/library/x"}})
			dir := s.path("layers", layerName(l.DiffID))
			if err := os.MkdirAll(filepath.Join(dir, "diff"), 0o700); err != nil {
				b.Fatal(err)
			}
			if err := writeLayerRecord(dir, l); err != nil {
				b.Fatal(err)
			}
		}
		for _, d := range []string{im.ID, im.Manifest} {
			if err := os.WriteFile(s.blobPath(d), nil, 0o600); err != nil {
				b.Fatal(err)
			}
		}
		r := &record{Status: Ready, Image: im, Kept: true}
		if i < n {
			ref, err := parse("bench", fmt.Sprintf("acme.test/x/app:%d", i))
			if err != nil {
				b.Fatal(err)
			}
			r.Kept = false
			r.named(ref)
		}
		if err := os.WriteFile(s.path("images", r.fileName()), []byte(r.essence()), 0o600); err != nil {
			b.Fatal(err)
		}
	}
}
