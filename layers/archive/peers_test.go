package archive

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// tarDir packs a directory as the tar program does: "./" before all names.
func tarDir(t testing.TB, dir string) []byte {
	t.Helper()
	var entries []entry
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		switch {
		case err != nil:
			return err
		case d.IsDir():
			entries = append(entries, entry{name: "./" + rel + "/", kind: tar.TypeDir})
			return nil
		}
		body, err := os.ReadFile(path)
		entries = append(entries, put("./"+rel, string(body)))
		return err
	}))
	return tarOf(t, entries...)
}

// untar unpacks an archive of plain files.
func untar(t testing.TB, stream []byte) string {
	t.Helper()
	dir := t.TempDir()
	r := tar.NewReader(bytes.NewReader(stream))
	for {
		h, err := r.Next()
		if err != nil {
			return dir
		}
		path := filepath.Join(dir, h.Name)
		if h.Typeflag == tar.TypeDir {
			must(t, os.MkdirAll(path, 0o755))
			continue
		}
		var b bytes.Buffer
		_, err = b.ReadFrom(r)
		must(t, err, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b.Bytes(), 0o644))
	}
}

// TestGGCRWrites: images that go-containerregistry wrote are loaded as they are.
func TestGGCRWrites(t *testing.T) {
	image := must1(random.Image(5000, 3))
	id := must1(image.ConfigName()).String()
	var b bytes.Buffer
	must(t, tarball.Write(must1(name.ParseReference("ghcr.io/acme/app:1")), image, &b))
	im := loaded(t, b.Bytes(), LoadOptions{})[0]
	if im.ConfigDigest != id || names(im) != "ghcr.io/acme/app:1" || len(im.Layers) != 3 {
		t.Errorf("%s is %s with %d layers", names(im), im.ConfigDigest, len(im.Layers))
	}
	other := must1(random.Image(100, 1))
	dir := t.TempDir()
	path := must1(layout.Write(dir, must1(random.Index(10, 1, 0))))
	must(t, path.ReplaceImage(image, match.Name("none"), layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "ghcr.io/acme/app:2"})),
		path.AppendImage(other))
	images := loaded(t, tarDir(t, dir), LoadOptions{})
	if got := summary(images); got != "[ghcr.io/acme/app:2] 3, [] 1" {
		t.Error(got)
	}
	for i, want := range []v1.Image{image, other} {
		if got := images[i].ManifestDigest; got != must1(want.Digest()).String() {
			t.Errorf("%s was loaded as %s", must1(want.Digest()), got)
		}
	}
}

// TestGGCRReads: go-containerregistry finds what is saved whole and the same, in
// both ways to read it.
func TestGGCRReads(t *testing.T) {
	images := some(t)
	dir := untar(t, save(t, savedOf(images), shelfOf(images)))
	file := filepath.Join(t.TempDir(), "f.tar")
	must(t, os.WriteFile(file, save(t, savedOf(images), shelfOf(images)), 0o600))
	for i, tag := range []string{"ghcr.io/acme/app:latest", "other:1"} {
		image := must1(tarball.ImageFromPath(file, new(must1(name.NewTag(tag)))))
		if i == 0 { // it inflates no zstd, which the other has
			must(t, validate.Image(image))
		}
		if got := must1(image.ConfigName()).String(); got != images[i].ConfigDigest {
			t.Errorf("docker archive: %s is %s", tag, got)
		}
	}
	index := must1(layout.ImageIndexFromPath(dir))
	for _, want := range images {
		image := must1(index.Image(must1(v1.NewHash(want.ManifestDigest))))
		if want != images[1] {
			must(t, validate.Image(image))
		}
	}
	if n := len(must1(index.IndexManifest()).Manifests); n != 4 {
		t.Errorf("the index has %d entries", n)
	}
}

// program finds a peer, or skips.
func program(t testing.TB, name string) func(args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return func(args ...string) string {
		t.Helper()
		cmd := exec.Command(path, args...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.String())
		}
		return string(out)
	}
}

func TestSkopeo(t *testing.T) {
	skopeo := program(t, "skopeo")
	images := some(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "f.tar")
	must(t, os.WriteFile(file, save(t, savedOf(images), shelfOf(images)), 0o600))
	id := func(from string) string {
		return digestOf([]byte(skopeo("inspect", "--config", "--raw", from)))
	}
	manifest := func(from string) string {
		return digestOf([]byte(skopeo("inspect", "--raw", from)))
	}
	if got := id("docker-archive:" + file + ":other:1"); got != images[1].ConfigDigest {
		t.Errorf("docker-archive: %s", got)
	}
	if got := manifest("oci-archive:" + file + ":latest"); got != images[0].ManifestDigest {
		t.Errorf("oci-archive: %s", got)
	}
	// There and back. (From a docker-archive to an OCI one, skopeo rewrites the
	// config, so that no ID is kept.)
	for _, way := range []struct{ from, to string }{
		{"docker-archive:" + file + ":app:1", "docker-archive:" + dir + "/a.tar:app:1"},
		{"oci-archive:" + file + ":latest", "oci-archive:" + dir + "/b.tar:app:1"},
		{"oci-archive:" + file + ":latest", "docker-archive:" + dir + "/c.tar:app:1"},
	} {
		same := strings.HasPrefix(way.from, "oci-archive:") && strings.HasPrefix(way.to, "oci-archive:")
		skopeo("copy", "--insecure-policy", "-q", way.from, way.to)
		_, path, _ := strings.Cut(way.to, ":")
		stream, err := os.ReadFile(strings.TrimSuffix(path, ":app:1"))
		must(t, err)
		back := loaded(t, stream, LoadOptions{})[0]
		if back.ConfigDigest != images[0].ConfigDigest || names(back) != "app:1" || same && back.ManifestDigest != images[0].ManifestDigest {
			t.Errorf("%s came back by %s as %s %s %s", way.from, way.to, names(back), back.ConfigDigest, back.ManifestDigest)
		}
	}
}

func TestUmoci(t *testing.T) {
	umoci := program(t, "umoci")
	images := some(t)[:1]
	saved := savedOf(images)
	saved[0].References = refs(t, "app:stable")
	dir := untar(t, save(t, saved, shelfOf(images)))
	if got := umoci("list", "--layout", dir); got != "stable\n" {
		t.Errorf("it lists %q", got)
	}
	if got := umoci("stat", "--image", dir+":stable"); got == "" {
		t.Error("it says nothing")
	}
	if os.Geteuid() != 0 {
		return
	}
	to := t.TempDir() + "/bundle"
	umoci("unpack", "--image", dir+":stable", to)
	if b, err := os.ReadFile(to + "/rootfs/a"); err != nil || string(b) != "a" {
		t.Errorf("it unpacks to %q, %v", b, err)
	}
}
