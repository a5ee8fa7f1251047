package archive

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

var host = v1.Platform{OS: "linux", Architecture: "amd64"}

// must ends the test at the first failure.
func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// entry is a file of an archive: body, or target for links.
type entry struct {
	name, body string
	kind       byte
	target     string
}

func put(name, body string) entry { return entry{name: name, body: body, kind: tar.TypeReg} }
func symlink(name, target string) entry {
	return entry{name: name, target: target, kind: tar.TypeSymlink}
}

func hardlink(name, target string) entry {
	return entry{name: name, target: target, kind: tar.TypeLink}
}

// blobOf is a file of a layout.
func blobOf(body string) entry { return put(blobsName+hexOf(digestOf([]byte(body))), body) }

func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		must(t, w.WriteHeader(&tar.Header{Typeflag: e.kind, Name: e.name, Linkname: e.target, Size: int64(len(e.body)), Mode: 0o644}))
		_, err := io.WriteString(w, e.body)
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

func gzipped(t testing.TB, body string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, body)
	must(t, err, w.Close())
	return b.String()
}

func zstandard(t testing.TB, body string) string {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	must(t, err)
	return string(w.EncodeAll([]byte(body), nil))
}

// layerOf is a layer that holds a file of that name.
func layerOf(t testing.TB, name string) string { return string(tarOf(t, put(name, name))) }

// configOf is a config with these layers, uncompressed, for a platform.
func configOf(platform string, layers ...string) string {
	os, arch, _ := strings.Cut(platform, "/")
	ids := []string{}
	for _, l := range layers {
		ids = append(ids, digestOf([]byte(l)))
	}
	return jsonOf(map[string]any{"os": os, "architecture": arch, "rootfs": map[string]any{"type": "layers", "diff_ids": ids}})
}

func jsonOf(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func descriptorOf(mediaType, body string) descriptor {
	return descriptor{MediaType: mediaType, Digest: digestOf([]byte(body)), Size: int64(len(body))}
}

// manifestOf is a manifest of layers as they are stored.
func manifestOf(config, layerType string, layers ...string) string {
	list := []descriptor{}
	for _, l := range layers {
		list = append(list, descriptorOf(layerType, l))
	}
	return jsonOf(map[string]any{
		"schemaVersion": 2, "mediaType": ociManifest, "config": descriptorOf(ociConfig, config), "layers": list,
	})
}

func indexOf(manifests ...descriptor) string {
	return jsonOf(written{SchemaVersion: 2, MediaType: ociIndex, Manifests: manifests})
}

const layoutText = `{"imageLayoutVersion":"1.0.0"}`

// load reads an archive, and checks what the directory holds afterwards.
func load(t testing.TB, stream []byte, o LoadOptions) ([]*Image, error) {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Platform.OS == "" {
		o.Platform = host
	}
	images, err := Load(t.Context(), bytes.NewReader(stream), o)
	wanted := map[string]bool{}
	for _, im := range images {
		checkImage(t, im)
		for _, l := range im.Layers {
			wanted[filepath.Base(l.Path)] = true
		}
	}
	list, e := os.ReadDir(o.Dir)
	must(t, e)
	for _, f := range list {
		if !wanted[f.Name()] {
			t.Errorf("%s is left in the directory", f.Name())
		}
		delete(wanted, f.Name())
	}
	if len(wanted) > 0 {
		t.Errorf("the directory lacks %v", wanted)
	}
	var known *Error
	if err != nil && (!errors.As(err, &known) || images != nil) {
		t.Fatalf("%T is not an *Error, or there are %d images: %v", err, len(images), err)
	}
	return images, err
}

// checkImage checks an image against itself.
func checkImage(t testing.TB, im *Image) {
	t.Helper()
	if im.ManifestDigest != digestOf(im.Manifest) || im.ConfigDigest != digestOf(im.Config) || im.Digest == "" || im.Platform == "" {
		t.Errorf("its digests are %s %s %s, platform %q", im.Digest, im.ManifestDigest, im.ConfigDigest, im.Platform)
	}
	var m manifest
	must(t, parse("", im.Manifest, &m))
	if m.Config.Digest != im.ConfigDigest || len(m.Layers) != len(im.Layers) {
		t.Errorf("its manifest is of another image: %s", im.Manifest)
	}
	for i, l := range im.Layers {
		b, err := os.ReadFile(l.Path)
		must(t, err)
		if digestOf(b) != l.Digest || int64(len(b)) != l.Size || m.Layers[i].Digest != l.Digest || m.Layers[i].MediaType != l.MediaType || !isDigest(l.DiffID) {
			t.Errorf("layer %d is %+v", i, l)
		}
	}
}

func loaded(t testing.TB, stream []byte, o LoadOptions) []*Image {
	t.Helper()
	images, err := load(t, stream, o)
	must(t, err)
	return images
}

func names(im *Image) string {
	var list []string
	for _, r := range im.References {
		list = append(list, r.Familiar())
	}
	return strings.Join(list, " ")
}

// summary is "names id-beginning layers" of each image.
func summary(images []*Image) string {
	var list []string
	for _, im := range images {
		list = append(list, fmt.Sprintf("[%s] %d", names(im), len(im.Layers)))
	}
	return strings.Join(list, ", ")
}

// shelf is a Source of loaded images.
type shelf map[string]string // digest to path

func shelfOf(images []*Image) shelf {
	s := shelf{}
	for _, im := range images {
		for _, l := range im.Layers {
			s[l.Digest] = l.Path
		}
	}
	return s
}

func reversed[T any](list []T) []T {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}
