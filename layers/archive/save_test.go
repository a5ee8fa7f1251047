package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hull/layers/reference"
)

func (s shelf) Blob(_ context.Context, digest string) (io.ReadCloser, error) {
	return os.Open(s[digest])
}

func refs(t testing.TB, names ...string) (list []reference.Reference) {
	t.Helper()
	for _, n := range names {
		r, err := reference.Parse(n)
		must(t, err)
		list = append(list, r)
	}
	return list
}

func savedOf(images []*Image) (list []Saved) {
	for _, im := range images {
		list = append(list, Saved{References: im.References, MediaType: im.MediaType, Manifest: im.Manifest, Config: im.Config})
	}
	return list
}

// save writes images whose layers are on a shelf.
func save(t testing.TB, images []Saved, source Source) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, Save(t.Context(), &b, images, source))
	return b.Bytes()
}

// some is two images that share a layer, one of them with two names, and a third
// without a name.
func some(t testing.TB) []*Image {
	t.Helper()
	a, b, c := layerOf(t, "a"), layerOf(t, "b"), layerOf(t, "c")
	dir := t.TempDir()
	images := loaded(t, tarOf(t,
		put("one", configOf("linux/amd64", a, b)), put("two", configOf("linux/amd64", a, c, c)), put("three", configOf("linux/amd64")),
		put("a", gzipped(t, a)), put("b", gzipped(t, b)), put("c", zstandard(t, c)),
		put(manifestName, `[{"Config":"one","RepoTags":["app:1","ghcr.io/acme/app:latest"],"Layers":["a","b"]},
			{"Config":"two","RepoTags":["other:1"],"Layers":["a","c","c"]},{"Config":"three","Layers":[]}]`),
	), LoadOptions{Dir: dir})
	if got := summary(images); got != "[app:1 ghcr.io/acme/app:latest] 2, [other:1] 3, [] 0" {
		t.Fatal(got)
	}
	return images
}

// TestSave: what is saved is loaded again as it was, by both of its descriptions.
func TestSave(t *testing.T) {
	images := some(t)
	stream := save(t, savedOf(images), shelfOf(images))
	again := loaded(t, stream, LoadOptions{})
	if summary(again) != summary(images) {
		t.Errorf("got %s, want %s", summary(again), summary(images))
	}
	for i := range images {
		if !bytes.Equal(again[i].Manifest, images[i].Manifest) || !bytes.Equal(again[i].Config, images[i].Config) || again[i].MediaType != images[i].MediaType {
			t.Errorf("%s is another image", names(images[i]))
		}
	}
	if other := save(t, savedOf(again), shelfOf(again)); !bytes.Equal(other, stream) {
		t.Error("saved again, it has other bytes")
	}
	twice := append(savedOf(images), savedOf(images)[0])
	if other := save(t, twice, shelfOf(images)); !bytes.Equal(other, stream) {
		t.Error("an image that is asked for twice is written otherwise")
	}
	for _, without := range []string{indexName, manifestName} {
		part := bytes.ReplaceAll(stream, []byte(without+"\x00"), []byte("x"+without[1:]+"\x00"))
		part = rechecksum(part)
		if got := summary(loaded(t, part, LoadOptions{})); got != summary(images) {
			t.Errorf("without %s: %s", without, got)
		}
	}
}

// TestSaveTwins: two images of one config, with layers compressed in different ways,
// keep their names.
func TestSaveTwins(t *testing.T) {
	l := layerOf(t, "l")
	c := configOf("linux/amd64", l)
	a, b := manifestOf(c, ociLayer+"+gzip", gzipped(t, l)), manifestOf(c, ociLayer+"+zstd", zstandard(t, l))
	twin := func(m, name string) descriptor {
		d := descriptorOf(ociManifest, m)
		d.Annotations.Image = name
		return d
	}
	stream := tarOf(t, put(indexName, indexOf(twin(a, "app:a"), twin(b, "app:b"))), blobOf(a), blobOf(b), blobOf(c), blobOf(gzipped(t, l)), blobOf(zstandard(t, l)))
	images := loaded(t, stream, LoadOptions{})
	again := loaded(t, save(t, savedOf(images), shelfOf(images)), LoadOptions{})
	if summary(images) != "[app:a] 1, [app:b] 1" || summary(again) != summary(images) {
		t.Errorf("%s came back as %s", summary(images), summary(again))
	}
}

// rechecksum mends the sum of the one header whose name was changed, by way of
// rewriting the archive's first headers.
func rechecksum(stream []byte) []byte {
	stream = slices.Clone(stream)
	for at := 0; at+512 <= len(stream); at += 512 {
		h := stream[at : at+512]
		if string(h[257:262]) != "ustar" {
			continue
		}
		sum := 8 * int(' ')
		for i, c := range h {
			if i < 148 || i >= 156 {
				sum += int(c)
			}
		}
		copy(h[148:], octal(sum))
	}
	return stream
}

func octal(n int) string {
	digits := make([]byte, 6)
	for i := range digits {
		digits[5-i] = byte('0' + n%8)
		n /= 8
	}
	return string(digits) + "\x00 "
}

// TestSaveNames: the tag is OCI's name where it tells images apart, as with Docker.
func TestSaveNames(t *testing.T) {
	images := some(t)
	digest := images[0].ManifestDigest
	saved := savedOf(images)
	saved[0].References = refs(t, "app:1", "app:2", "app@"+digest)
	saved[1].References = refs(t, "other:1")
	saved = saved[:2]
	top := topIndex(must1(plan(saved)))
	var got []string
	for _, d := range top.Manifests {
		got = append(got, d.Annotations.Image+" "+d.Annotations.Ref)
	}
	want := "docker.io/library/app:1 docker.io/library/app:1, docker.io/library/app:2 2, docker.io/library/other:1 docker.io/library/other:1"
	if g := strings.Join(got, ", "); g != want {
		t.Errorf("got %s, want %s", g, want)
	}
}

func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// wrong is a Source that gives this for every blob.
type wrong struct {
	text string
	err  error
}

func (w wrong) Blob(context.Context, string) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(w.text)), w.err
}

func TestSaveFails(t *testing.T) {
	images := some(t)
	saved := savedOf(images)
	missing := errors.New("it is not here")
	for _, c := range []struct {
		name   string
		source Source
		kind   Kind
	}{
		{"no blob", wrong{err: missing}, System},
		{"short", wrong{text: "x"}, Corrupt},
		{"long", wrong{text: strings.Repeat("x", 1<<20)}, Corrupt},
		{"other content", wrong{text: strings.Repeat("x", int(images[0].Layers[0].Size))}, Corrupt},
	} {
		var b bytes.Buffer
		err := Save(t.Context(), &b, saved, c.source)
		if kindOf(t, err) != c.kind || c.kind == System && !errors.Is(err, missing) {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, err := load(t, b.Bytes(), LoadOptions{}); err == nil {
			t.Errorf("%s: what was written of it can be loaded", c.name)
		}
	}
	bad := slices.Clone(saved)
	bad[0].Config = []byte("{}")
	if err := Save(t.Context(), io.Discard, bad, shelfOf(images)); kindOf(t, err) != Corrupt {
		t.Errorf("another config: %v", err)
	}
	for fault, want := range map[error]Kind{unix.EPIPE: Write, unix.ENOSPC: Space} {
		if err := Save(t.Context(), writerOf(fault), saved, shelfOf(images)); kindOf(t, err) != want || !errors.Is(err, fault) {
			t.Errorf("%v: %v", fault, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Save(ctx, io.Discard, saved, shelfOf(images)); kindOf(t, err) != Cancelled {
		t.Errorf("cancelled: %v", err)
	}
}

type faulty struct{ err error }

func (f faulty) Write([]byte) (int, error) { return 0, f.err }

func writerOf(err error) io.Writer { return faulty{err} }
