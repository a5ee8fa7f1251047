package layers

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// recordFile is the only file in images/, and its text.
func recordFile(t testing.TB, s *Store) (path string, text []byte) {
	t.Helper()
	all := names(t, s, "images")
	if len(all) != 1 {
		t.Fatalf("the records are %v", all)
	}
	path = s.path("images", all[0])
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, text
}

func write(t testing.TB, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Whatever letter of a record has changed, it is not taken for what hull wrote.
func TestEveryLetterOfARecordCounts(t *testing.T) {
	s, _ := newFilled(t)
	_, text := recordFile(t, s)
	if r, err := parseRecord(text); err != nil || r.bare {
		t.Fatalf("untouched it is %+v, %v", r, err)
	}
	for i := range text {
		for _, mask := range []byte{0x01, 0x20, 0x80} {
			damaged := bytes.Clone(text)
			damaged[i] ^= mask
			if r, err := parseRecord(damaged); err == nil && !r.bare {
				t.Errorf("nobody sees that %q has become %q in %q", text[i], damaged[i], damaged[max(i-10, 0):min(i+10, len(text))])
			}
		}
	}
}

// A record that was edited by hand counts without its checksum, and gets a new one.
func TestRecordEditedByHand(t *testing.T) {
	s, im := newFilled(t)
	closeStore(t, s)
	path, text := recordFile(t, s)
	lines := strings.SplitAfter(string(text), "\n")
	edited := strings.Replace(strings.Join(slices.Delete(lines, 1, 2), ""), `"by": 0`, `"by": 42`, 1)
	write(t, path, []byte(edited))
	s = openStore(t, s.dir, Options{})
	if got := mustFind(t, s, im.Reference); got.By != 42 || got.ID != im.ID || got.Status != Ready {
		t.Errorf("the image is %+v", got)
	}
	flaws(t, s, 1, "has no checksum")
	mend(t, s, 0)
	flaws(t, s, 0, "")
	closeStore(t, s)
	s = openStore(t, s.dir, Options{})
	if got := mustFind(t, s, im.Reference); got.By != 42 {
		t.Errorf("afterwards the image is %+v", got)
	}
	flaws(t, s, 0, "")
}

// What one letter has done to a record is undone without anybody's help: to the letter
// where its checksum proves it, and else so that nobody sees more than before.
func TestFlippedRecordIsRebuilt(t *testing.T) {
	needRoot(t)
	r, _ := locked(t)
	s := openStore(t, t.TempDir(), Options{})
	ref := r.ref("acme/app:1")
	o := PullOptions{By: 1000, Keychain: oneLogin{User: "alice", Password: "secret"}, Budget: time.Minute}
	if err := s.Pull(t.Context(), ref, o); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	im := mustFind(t, s, ref)
	closeStore(t, s)
	path, whole := recordFile(t, s)
	for _, tt := range []struct {
		at     string // the letter after it changes
		proven bool   // the record comes back to the letter
	}{
		{`"reference": "`, true},
		{`"id": "sha256:`, true},
		{`"manifest": "sha256:`, true},
		{`"blob_size": `, true},
		{`"diff_id": "sha256:`, true},
		{`"key": "sha256:`, true},
		{`"platform": "`, true},
		{`"reader": `, false},
		{`"private": `, false},
		{`"priva`, false},
		{`"sum": "sha256:`, false},
		{`"made": "`, false},
		{`"digest": "sha256:`, false},
	} {
		t.Run(tt.at, func(t *testing.T) {
			text := bytes.Clone(whole)
			i := bytes.Index(text, []byte(tt.at))
			if i < 0 {
				t.Fatalf("there is no %s in %s", tt.at, text)
			}
			text[i+len(tt.at)] ^= 1
			write(t, path, text)
			s := openStore(t, s.dir, Options{})
			got := mustFind(t, s, im.ID)
			if got.Reference != ref || got.Status != Ready || !got.Usable() || !got.Private || got.Reader != 0 && got.Reader != 1000 {
				t.Errorf("the image is %+v", got)
			}
			flaws(t, s, 1, "images/")
			mend(t, s, 0)
			flaws(t, s, 0, "")
			closeStore(t, s)
			if _, now := recordFile(t, s); bytes.Equal(now, whole) != tt.proven {
				t.Errorf("of\n%s\nit has become\n%s", whole, now)
			}
		})
	}
}

// Images that no registry has come back, too, and at once.
func TestRecordsOfOwnImagesAreRebuilt(t *testing.T) {
	s, im := newFilled(t)
	if err := s.Tag(t.Context(), im.ID, "kept:1", false, 0); err != nil {
		t.Fatal(err)
	}
	archive := save(t, s, "kept:1", im.ID)
	for _, damage := range damages {
		if damage.name == "removed" {
			continue // nobody knows that there was one
		}
		t.Run(damage.name, func(t *testing.T) {
			s := openStore(t, t.TempDir(), Options{})
			mustLoad(t, s, archive)
			id, err := s.Commit(t.Context(), "", CommitOptions{Base: im.ID, Upper: upperOf(t, map[string]string{"new": "new"})})
			if err != nil {
				t.Fatal(err)
			}
			files := names(t, s, "images")
			if len(files) != 2 {
				t.Fatalf("the records are %v", files)
			}
			if err := s.Hold(id, "one"); err != nil {
				t.Fatal(err)
			}
			closeStore(t, s)
			for _, file := range files {
				if err := damage.do(s.path("images", file)); err != nil {
					t.Fatal(err)
				}
			}
			s = openUnswept(t, s.dir, Options{})
			if err := s.Hold(id, "one"); err != nil && KindOf(err) != Corrupt {
				t.Errorf("a container's image: %v", err)
			}
			if err := s.Sweep(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			if lines := checked(t, s); len(lines) == 0 { // one may have been rescued by its container already
				t.Error("nothing is damaged")
			}
			mend(t, s, 0)
			flaws(t, s, 0, "")
			for _, name := range []string{"kept:1", id} {
				if got := mustFind(t, s, name); got.Status != Ready || !got.Usable() {
					t.Errorf("%s is %+v", name, got)
				}
			}
			if holders := s.Holders(id); !slices.Equal(holders, []string{"one"}) {
				t.Errorf("the container's image is held by %v", holders)
			}
			closeStore(t, s)
			s = openStore(t, s.dir, Options{})
			mustFind(t, s, id)
			flaws(t, s, 0, "")
		})
	}
}

// Of records that say nothing at all the names stay, and the images without names, and
// nothing is lost of either.
func TestEmptyRecords(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	r.push(t, "acme/a:1", imageOf(t, layerOf(t, file{name: "a"})))
	r.push(t, "acme/b:1", imageOf(t, layerOf(t, file{name: "b"})))
	s := openStore(t, t.TempDir(), Options{})
	a, b := mustPull(t, s, r.ref("acme/a:1")), mustPull(t, s, r.ref("acme/b:1"))
	closeStore(t, s)
	for _, file := range names(t, s, "images") {
		write(t, s.path("images", file), nil)
	}
	s = openStore(t, s.dir, Options{})
	for _, im := range []*Image{a, b} {
		if got := mustFind(t, s, im.Reference); got.Status != Failed || got.Usable() || !strings.Contains(got.Error, "record") {
			t.Errorf("the image is %+v", got)
		}
	}
	flaws(t, s, 2, "images/")
	mend(t, s, 0)
	flaws(t, s, 0, "")
	for _, im := range []*Image{a, b} {
		if got := mustFind(t, s, im.Reference); got.Status != Failed || !strings.Contains(got.Error, "not known any more") {
			t.Errorf("the image is %+v", got)
		}
		if got := mustFind(t, s, im.ID); got.Reference != "" || got.Status != Ready || !got.Private || got.Reader != 0 {
			t.Errorf("without a name it is %+v", got)
		}
	}
	if err := s.Tag(t.Context(), a.ID, a.Reference, true, 0); err != nil {
		t.Fatal(err)
	}
	if got := mustPull(t, s, b.Reference); got.ID != b.ID || got.Private {
		t.Errorf("pulled again, it is %+v", got)
	}
	flaws(t, s, 0, "")
	if list := s.List(); len(list) != 2 {
		t.Errorf("there are %d images", len(list))
	}
}

// A long name stands in no file's name, only in its text.
func TestLongNameIsRebuilt(t *testing.T) {
	s, im := newFilled(t)
	long := "example.com/" + strings.Repeat("long/", 40) + "name:1"
	if err := s.Tag(t.Context(), im.ID, long, false, 0); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	for _, file := range names(t, s, "images") {
		if strings.Contains(file, "~") {
			if err := flipAt(s.path("images", file), 2); err != nil {
				t.Fatal(err)
			}
		}
	}
	s = openStore(t, s.dir, Options{})
	if got := mustFind(t, s, long); got.ID != im.ID || got.Status != Ready {
		t.Errorf("the image is %+v", got)
	}
	mend(t, s, 0)
	flaws(t, s, 0, "")
}

// The image of a container stays when its record has gone, and gets its name back when
// that is still known.
func TestHeldImageIsRescued(t *testing.T) {
	for _, damage := range []string{"removed", "emptied"} {
		t.Run(damage, func(t *testing.T) {
			s, im := newFilled(t)
			closeStore(t, s)
			path, _ := recordFile(t, s)
			if damage == "emptied" {
				write(t, path, nil)
			} else if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			s = openUnswept(t, s.dir, Options{})
			if err := s.Hold(im.ID, "one"); err != nil {
				t.Fatal(err)
			}
			if err := s.Hold("sha256:"+strings.Repeat("0", 64), "two"); err == nil {
				t.Error("an image that never was is held")
			}
			if err := s.Sweep(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			if got := mustFind(t, s, im.ID); got.Reference != "" || !got.Usable() || !got.Private {
				t.Errorf("the image is %+v", got)
			}
			m, err := s.Mount(t.Context(), im.ID, nil, nil, 0, true)
			if err != nil {
				t.Fatal(err)
			}
			m.Close()
			if damage == "emptied" {
				flaws(t, s, 1, "images/")
				mend(t, s, 0)
				if got := mustFind(t, s, im.Reference); got.ID != im.ID || got.Status != Ready {
					t.Errorf("by its name, the image is %+v", got)
				}
				if list := s.List(); len(list) != 1 {
					t.Errorf("there are %d images", len(list))
				}
				_, err := s.Remove(t.Context(), im.Reference, false, 0)
				wantKind(t, err, Busy)
			}
			flaws(t, s, 0, "")
			s.Release(im.ID, "one")
			if damage == "removed" { // it was there for the container only
				await(t, "the image to go", func() bool { return len(names(t, s, "layers")) == 0 })
			}
		})
	}
}
