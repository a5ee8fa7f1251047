package layers

import (
	"net/http"
	"os"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestPullResumes(t *testing.T) {
	needRoot(t)
	const size, cut = 1 << 20, 400_000
	tests := []struct {
		name    string
		between func(t *testing.T, s *Store) *Store
		all     bool // the whole blob comes again
	}{
		{"at once", func(_ *testing.T, s *Store) *Store { return s }, false},
		{"after a restart", func(t *testing.T, s *Store) *Store {
			closeStore(t, s)
			return openStore(t, s.dir, Options{Retries: -1})
		}, false},
		{"from a damaged beginning", func(t *testing.T, s *Store) *Store {
			path := s.path("ingest", names(t, s, "ingest")[0])
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte("damage"), 1000); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			return s
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRegistry(t)
			l := layerOf(t, file{name: "big", content: noise(4, size)})
			r.push(t, "acme/app:1", imageOf(t, l))
			blobSize, err := l.Size()
			if err != nil {
				t.Fatal(err)
			}
			r.setBlob(func(string) blobFault { return blobFault{cut: cut} })
			s := openStore(t, t.TempDir(), Options{Retries: -1})
			ref := r.ref("acme/app:1")
			if err := pullNow(t, s, ref); err == nil {
				t.Fatal("a broken connection without retries was no failure")
			}
			partial := names(t, s, "ingest")
			if len(partial) != 1 {
				t.Fatalf("ingest holds %v", partial)
			}
			info, err := os.Stat(s.path("ingest", partial[0]))
			if err != nil {
				t.Fatal(err)
			}
			s = tt.between(t, s)
			r.setBlob(nil)
			before := r.bytesOf(digestOf(t, l))
			mustPull(t, s, ref)
			got, want := r.bytesOf(digestOf(t, l))-before, blobSize-info.Size()
			if tt.all {
				want += blobSize
			}
			if got != want {
				t.Errorf("%d bytes came again, want %d of %d", got, want, blobSize)
			}
		})
	}
}

func TestPullDamage(t *testing.T) {
	needRoot(t)
	good := layerOf(t, file{name: "good", content: "g"})
	tests := []struct {
		name  string
		kind  Kind
		image func(t *testing.T) v1.Image
		fault *blobFault
	}{
		{"corrupt blob", Corrupt, nil, &blobFault{corrupt: true}},
		{"missing blob", NotFound, nil, &blobFault{fail: 404}},
		{"forbidden blob", Denied, nil, &blobFault{fail: 403}},
		{"wrong diff ID", Corrupt, func(t *testing.T) v1.Image {
			return imageOf(t, good, lyingLayer{layerOf(t, file{name: "x", content: "y"})})
		}, nil},
		{"not a tar", Corrupt, func(t *testing.T) v1.Image {
			return imageOf(t, good, rawLayer(t, []byte(noise(5, 5000))))
		}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRegistry(t)
			img := imageOf(t, good, layerOf(t, file{name: "x", content: noise(6, 5000)}))
			if tt.image != nil {
				img = tt.image(t)
			}
			r.push(t, "acme/app:1", img)
			if tt.fault != nil {
				r.setBlob(onlyLayers(t, img, *tt.fault))
			}
			s := openStore(t, t.TempDir(), Options{Retries: -1})
			ref := r.ref("acme/app:1")
			wantKind(t, pullNow(t, s, ref), tt.kind)
			im := mustFind(t, s, ref)
			if im.Status != Failed || im.Error == "" {
				t.Errorf("image is %+v", im)
			}
			await(t, "staging and trash to be empty", func() bool {
				return len(names(t, s, "staging"))+len(names(t, s, "trash")) == 0
			})
			if got := names(t, s, "layers"); len(got) != 0 {
				t.Errorf("layers are %v", got)
			}
			if _, err := s.Remove(t.Context(), ref, false, 0); err != nil {
				t.Fatal(err)
			}
			if got := names(t, s, "ingest"); len(got) != 0 {
				t.Errorf("after its removal ingest holds %v", got)
			}
		})
	}
}

// A newer image of a name replaces the older one, which stays without a name, as with
// Docker.
func TestPullReplaces(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	old := imageOf(t, layerOf(t, file{name: "old"}))
	r.push(t, "acme/app:1", old)
	s := openStore(t, t.TempDir(), Options{})
	ref := r.ref("acme/app:1")
	first := mustPull(t, s, ref)
	r.push(t, "acme/app:1", imageOf(t, layerOf(t, file{name: "new"})))
	second := mustPull(t, s, ref)
	if second.ID == first.ID || !second.Made.Equal(first.Made) {
		t.Errorf("first %+v, second %+v", first, second)
	}
	if im := mustFind(t, s, first.ID); im.Reference != "" || len(im.Tags) != 0 {
		t.Errorf("the old image is %+v", im)
	}
	closeStore(t, s)
	s = openStore(t, s.dir, Options{})
	if _, err := s.Remove(t.Context(), first.ID, false, 0); err != nil {
		t.Fatal(err)
	}
	if got := names(t, s, "layers"); len(got) != 1 {
		t.Errorf("layers are %v", got)
	}
	// A failed pull leaves the image that is here.
	r.setBefore(func(*http.Request) int { return http.StatusNotFound })
	wantKind(t, pullNow(t, s, ref), NotFound)
	if im := mustFind(t, s, ref); im.Status != Ready || im.ID != second.ID || im.Error == "" {
		t.Errorf("after a failed pull the image is %+v", im)
	}
}
