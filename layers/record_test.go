package layers

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestRecordFileNames(t *testing.T) {
	long := strings.Repeat("a/", 127) + "a"
	tests := []struct{ reference, want string }{
		{"docker.io/library/redis:7", "docker.io%2Flibrary%2Fredis:7.json"},
		{"localhost:5000/team/app:1", "localhost:5000%2Fteam%2Fapp:1.json"},
		{"docker.io/" + long + ":1", ""},
	}
	for _, tt := range tests {
		got := (&record{Reference: tt.reference}).fileName()
		if tt.want != "" && got != tt.want {
			t.Errorf("%s is in %s", tt.reference, got)
		}
		if len(got) > 255 || strings.Contains(got, "/") {
			t.Errorf("%s is no file name", got)
		}
	}
	if a, b := (&record{Reference: "x/" + long + ":1"}).fileName(), (&record{Reference: "x/" + long + ":2"}).fileName(); a == b {
		t.Errorf("two references have one file %s", a)
	}
}

// What lies in images/ was perhaps mended by hand, or damaged. Nothing of it may
// be taken for a path, and nothing is swept while a record cannot be read.
func TestUnreadableRecords(t *testing.T) {
	bad := map[string]string{
		"empty.json":                     "",
		"text.json":                      "hello",
		"nothing.json":                   "{}",
		"docker.io%2Flibrary%2Fa:1.json": `{"reference":"docker.io/library/b:1","status":"failed"}`,
		"docker.io%2Flibrary%2Fc:1.json": `{"reference":"docker.io/library/c:1","status":"ready","image":{"id":"sha256:../../../etc"}}`,
		"D.json":                         `{"reference":"D","status":"ready"}`,
	}
	for name, content := range bad {
		t.Run(name, func(t *testing.T) {
			s, im := newFilled(t)
			closeStore(t, s)
			if err := os.WriteFile(s.path("images", name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			s = openStore(t, s.dir, Options{})
			for _, other := range s.List() { // a name that the file's own name tells is shown
				if other.ID != im.ID && (other.Usable() || other.Status != Failed) {
					t.Errorf("there is %+v", other)
				}
			}
			mustFind(t, s, im.Reference)
			if _, err := s.Remove(t.Context(), im.ID, false, 0); err != nil {
				t.Fatal(err)
			}
			if got := names(t, s, "layers"); len(got) != 2 {
				t.Errorf("with a record that cannot be read, layers went: %v are left", got)
			}
			closeStore(t, s)
			if err := os.Remove(s.path("images", name)); err != nil {
				t.Fatal(err)
			}
			s = openStore(t, s.dir, Options{})
			if got := names(t, s, "layers"); len(got) != 0 {
				t.Errorf("without it, layers stay: %v", got)
			}
		})
	}
}

// An image whose parts were removed by hand is failed, and can be pulled again.
func TestMissingParts(t *testing.T) {
	for _, dir := range []string{"layers", "blobs/sha256"} {
		t.Run(dir, func(t *testing.T) {
			needRoot(t)
			r := newRegistry(t)
			r.push(t, "acme/app:1", imageOf(t, layerOf(t, file{name: "a"})))
			s := openStore(t, t.TempDir(), Options{})
			ref := r.ref("acme/app:1")
			mustPull(t, s, ref)
			closeStore(t, s)
			for _, name := range names(t, s, dir) {
				if err := os.RemoveAll(s.path(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			s = openStore(t, s.dir, Options{})
			if im := mustFind(t, s, ref); im.Status != Failed || im.Error == "" || im.Usable() {
				t.Errorf("the image is %+v", im)
			}
			if im := mustPull(t, s, ref); im.Status != Ready {
				t.Errorf("pulled again, it is %+v", im)
			}
		})
	}
}

// A blob that was damaged on the disk is fetched anew when it is needed again.
func TestDamagedStoredBlob(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	l := layerOf(t, file{name: "d/a", content: noise(20, 1000)}) // depends on what is below
	r.push(t, "acme/a:1", imageOf(t, l))
	r.push(t, "acme/b:1", imageOf(t, layerOf(t, file{name: "d", dir: true, mode: 0o711}), l))
	s := openStore(t, t.TempDir(), Options{})
	mustPull(t, s, r.ref("acme/a:1"))
	if err := os.WriteFile(s.blobPath(digestOf(t, l)), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustPull(t, s, r.ref("acme/b:1"))
	if got := r.requestsOf(digestOf(t, l)); got != 2 {
		t.Errorf("the blob was asked for %d times", got)
	}
}

func TestRecordRoundTrip(t *testing.T) {
	r := &record{
		Reference: "docker.io/library/redis:7", name: "redis:7", Status: Failed, Error: "it failed", ErrorKind: Space.String(),
		By: 7, Made: time.Unix(5, 0).UTC(), Wanted: []string{"sha256:x"}, Tries: 2,
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	got := new(record)
	if err := json.Unmarshal(b, got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, got, cmpopts.IgnoreUnexported(record{})); diff != "" {
		t.Error(diff)
	}
	for _, k := range Kinds() {
		if kindNamed(k.String()) != k {
			t.Errorf("kind %v does not come back", k)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(`{}`)
	f.Add(`{"reference":"docker.io/library/a:1","status":"ready","image":{"id":"sha256:..","layers":[{"key":"/"}]}}`)
	f.Add(`{"image":{"id":"sha256:` + strings.Repeat("a", 64) + `","manifest":"sha256:` + strings.Repeat("b", 64) + `"}}`)
	f.Add(`{"reference":"` + strings.Repeat("a/", 300) + `"}`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseRecord([]byte(text))
		if err != nil {
			return
		}
		if name := r.fileName(); strings.Contains(name, "/") || len(name) > 255 || strings.HasPrefix(name, ".") {
			t.Errorf("file name %q", name)
		}
		if r.Image != nil {
			for _, l := range append(r.Image.Layers, storedLayer{Key: r.Image.ID}) {
				if !isDigest(l.Key) {
					t.Errorf("key %q", l.Key)
				}
			}
		}
	})
}
