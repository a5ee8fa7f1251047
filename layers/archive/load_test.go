package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"
)

// oldDocker is what Docker wrote until version 24: a directory for each layer, a
// link where a layer is an earlier image's.
func oldDocker(t testing.TB, link func(name, target string) entry, target string) []entry {
	a, b, c := layerOf(t, "a"), layerOf(t, "b"), layerOf(t, "c")
	one, two := configOf("linux/amd64", a, b), configOf("linux/amd64", a, c)
	id1, id2 := hexOf(digestOf([]byte(one))), hexOf(digestOf([]byte(two)))
	return []entry{
		put("1111/VERSION", "1.0"), put("1111/json", "{}"), put("1111/layer.tar", a),
		put("2222/VERSION", "1.0"), put("2222/json", "{}"), put("2222/layer.tar", b),
		link("3333/layer.tar", target), put("4444/layer.tar", c),
		put(id1+".json", one), put(id2+".json", two),
		put(manifestName, `[{"Config":"`+id1+`.json","RepoTags":["app:1","<none>:<none>"],"Layers":["1111/layer.tar","2222/layer.tar"]},
			{"Config":"`+id2+`.json","RepoTags":null,"Layers":["3333/layer.tar","4444/layer.tar"]}]`),
		put(repositoriesName, `{"app":{"1":"2222"}}`),
	}
}

func TestDockerArchives(t *testing.T) {
	plain, packed := layerOf(t, "plain"), layerOf(t, "packed")
	config := configOf("linux/arm64", plain, packed, plain, packed)
	for _, c := range []struct {
		name    string
		entries []entry
		want    string
	}{
		{"old, symbolic links", oldDocker(t, symlink, "../1111/layer.tar"), "[app:1] 2, [] 2"},
		{"old, hard links", oldDocker(t, hardlink, "1111/layer.tar"), "[app:1] 2, [] 2"},
		{"compressed layers", []entry{
			put("c", config), put("g.tar.gz", gzipped(t, packed)), put("z", zstandard(t, packed)), put("p", plain),
			put(manifestName, `[{"Config":"c","RepoTags":["b:2","ghcr.io/a/a","docker.io/library/b:2"],"Layers":["p","g.tar.gz","p","z"]}]`),
		}, "[b:2 ghcr.io/a/a:latest] 4"},
		{"no layers", []entry{put("c", configOf("linux/amd64")), put(manifestName, `[{"Config":"c","RepoTags":["x"],"Layers":null}]`)}, "[x:latest] 0"},
		{"names of any spelling", []entry{
			{name: "./d/", kind: tar.TypeDir},
			put("./d/../c", configOf("linux/amd64", plain)), put("/d//p", plain),
			put("./manifest.json", `[{"Config":"./c","RepoTags":["x:1"],"Layers":["d/./p"]}]`),
		}, "[x:1] 1"},
		{"the last of a name counts", []entry{
			put("c", "rubbish"), put("c", configOf("linux/amd64", plain)), put("p", plain), put(manifestName, "rubbish"),
			put(manifestName, `[{"Config":"c","RepoTags":["x:1"],"Layers":["p"]}]`),
		}, "[x:1] 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, entries := range [][]entry{c.entries, reversed(c.entries)} {
				if strings.HasPrefix(c.name, "the last") && entries[0].body != "rubbish" {
					continue
				}
				stream := tarOf(t, entries...)
				images := loaded(t, stream, LoadOptions{})
				if got := summary(images); got != c.want {
					t.Errorf("got %s, want %s", got, c.want)
				}
				for _, around := range []string{gzipped(t, string(stream)), zstandard(t, string(stream)), string(stream) + strings.Repeat("\x00", 1<<20)} {
					if got := summary(loaded(t, []byte(around), LoadOptions{})); got != c.want {
						t.Errorf("compressed as a whole: got %s, want %s", got, c.want)
					}
				}
			}
		})
	}
}

// platforms is a layout with an image of several platforms, of which some have been
// left out of the archive.
func platforms(t testing.TB, left ...string) []entry {
	var list []descriptor
	var entries []entry
	for _, p := range []string{"linux/arm64", "linux/amd64", "windows/amd64"} {
		layer := layerOf(t, p)
		config := configOf(p, layer)
		m := manifestOf(config, ociLayer+"+gzip", gzipped(t, layer))
		d := descriptorOf(ociManifest, m)
		os, arch, _ := strings.Cut(p, "/")
		d.Platform = &platform{OS: os, Architecture: arch}
		list = append(list, d)
		for _, l := range left {
			if l == p {
				entries = append(entries, blobOf(m), blobOf(config), blobOf(gzipped(t, layer)))
			}
			if l == p+" without layers" {
				entries = append(entries, blobOf(m))
			}
		}
	}
	about := descriptorOf(ociManifest, "attestation")
	about.Platform, about.Annotations.AboutType = &platform{OS: "unknown", Architecture: "unknown"}, "attestation-manifest"
	inner := indexOf(append(list, about)...)
	top := descriptorOf(ociIndex, inner)
	top.Annotations.Image = "docker.io/library/app:1"
	return append(entries, put(layoutName, layoutText), blobOf(inner), put(indexName, indexOf(top)))
}

func TestPlatforms(t *testing.T) {
	arm := v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
	for _, c := range []struct {
		name string
		left []string
		want v1.Platform
		is   string
		kind Kind
	}{
		{"all", []string{"linux/arm64", "linux/amd64", "windows/amd64"}, host, "linux/amd64", 0},
		{"a variant", []string{"linux/arm64", "linux/amd64"}, arm, "linux/arm64", 0},
		{"others without layers", []string{"linux/arm64 without layers", "linux/amd64"}, host, "linux/amd64", 0},
		{"another only", []string{"linux/arm64"}, host, "linux/arm64", 0},
		{"others only", []string{"linux/arm64", "windows/amd64"}, host, "", Platform},
		{"none", nil, host, "", Corrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			images, err := load(t, tarOf(t, platforms(t, c.left...)...), LoadOptions{Platform: c.want})
			if c.is == "" {
				if kindOf(t, err) != c.kind {
					t.Errorf("got %v, want kind %v", err, c.kind)
				}
				return
			}
			must(t, err)
			if im := images[0]; im.Platform != c.is || names(im) != "app:1" || im.Digest == im.ManifestDigest {
				t.Errorf("%s %s %s", im.Platform, names(im), im.Digest)
			}
		})
	}
}

// TestBoth: a layout's images get the names of manifest.json, and images that only
// manifest.json has are there too.
func TestBoth(t *testing.T) {
	a, b := layerOf(t, "a"), layerOf(t, "b")
	one, two := configOf("linux/amd64", a), configOf("linux/amd64", b)
	m := manifestOf(one, ociLayer+"+gzip", gzipped(t, a))
	tagged := descriptorOf(ociManifest, m)
	tagged.Annotations.Ref = "1.0"
	entries := []entry{
		put(layoutName, layoutText), put(indexName, indexOf(tagged)), blobOf(m), blobOf(one), blobOf(gzipped(t, a)),
		put("two", two), put("b", b),
		put(manifestName, `[{"Config":"`+blobOf(one).name+`","RepoTags":["x:1"],"Layers":["`+blobOf(gzipped(t, a)).name+`"]},{"Config":"two","RepoTags":["x:2"],"Layers":["b"]}]`),
	}
	images := loaded(t, tarOf(t, entries...), LoadOptions{})
	if got := summary(images); got != "[x:1] 1, [x:2] 1" || string(images[0].Manifest) != m {
		t.Errorf("got %s", got)
	}
}

func TestNames(t *testing.T) {
	layer := layerOf(t, "a")
	config := configOf("linux/amd64", layer)
	m := manifestOf(config, ociLayer, layer)
	digest := digestOf([]byte(m))
	for _, c := range []struct{ image, ref, want string }{
		{"docker.io/library/redis:7", "7", "redis:7"},
		{"", "7", ""},
		{"", "latest", ""},
		{"", "localhost/app:1", "localhost/app:1"},
		{"", "app:1", "app:1"},
		{"", "my own build", ""},
		{"", "not good:1", ""},
		{"redis@" + digest, "", "redis@" + digest},
	} {
		d := descriptorOf(ociManifest, m)
		d.Annotations = annotations{Image: c.image, Ref: c.ref}
		images := loaded(t, tarOf(t, put(indexName, indexOf(d)), blobOf(m), blobOf(config), blobOf(layer)), LoadOptions{})
		if got := names(images[0]); got != c.want {
			t.Errorf("%q %q: got %q, want %q", c.image, c.ref, got, c.want)
		}
	}
}

// TestStops: the context, the stream, and the disk end a loading.
func TestStops(t *testing.T) {
	stream := tarOf(t, append(oldDocker(t, symlink, "../1111/layer.tar"), put("big", strings.Repeat("x", 20<<20)))...)
	broken := errors.New("the connection broke")
	for _, c := range []struct {
		name string
		r    io.Reader
		room func(int64) error
		kind Kind
		is   error
	}{
		{"a broken stream", io.MultiReader(bytes.NewReader(stream[:9000]), &broke{broken}), nil, System, broken},
		{"a short one", bytes.NewReader(stream[:9000]), nil, Corrupt, nil},
		{"no room at first", bytes.NewReader(stream), func(more int64) error {
			if more > 1<<20 {
				return unix.ENOSPC
			}
			return nil
		}, Space, unix.ENOSPC},
		{"no room later", bytes.NewReader(stream), func(more int64) error {
			if more == 0 {
				return &Error{Kind: Space, Err: unix.EDQUOT}
			}
			return nil
		}, Space, unix.EDQUOT},
	} {
		t.Run(c.name, func(t *testing.T) {
			all, err := io.ReadAll(c.r)
			r := io.Reader(bytes.NewReader(all))
			if err != nil {
				r = io.MultiReader(r, &broke{err})
			}
			dir := t.TempDir()
			_, err = Load(t.Context(), r, LoadOptions{Dir: dir, Platform: host, Room: c.room})
			if kindOf(t, err) != c.kind || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("got %v, want kind %v", err, c.kind)
			}
			empty(t, dir)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if _, err := Load(ctx, bytes.NewReader(stream), LoadOptions{Dir: dir}); kindOf(t, err) != Cancelled {
		t.Errorf("got %v", err)
	}
	empty(t, dir)
}

type broke struct{ err error }

func (b *broke) Read([]byte) (int, error) { return 0, b.err }
