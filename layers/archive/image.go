package archive

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"runtime"
	"strings"
)

// check demands that what a descriptor names is here, as it says.
func (l *loader) check(d *descriptor) error {
	if !isDigest(d.Digest) {
		return problem(Unsupported, d.Digest, "hull needs digests of the form sha256:…")
	}
	b, ok := l.spool.blobs[d.Digest]
	switch {
	case !ok:
		return problem(Corrupt, d.Digest, "it is not in the archive, which is incomplete")
	case b.size != d.Size:
		return problem(Corrupt, d.Digest, "it has %d bytes, and %d were promised", b.size, d.Size)
	}
	return nil
}

// image makes an image of its manifest.
func (l *loader) image(m *manifest, mediaType, digest string, text []byte) (*Image, error) {
	if err := l.check(m.Config); err != nil {
		return nil, err
	}
	if len(m.Layers) > maxLayers {
		return nil, problem(TooLarge, digest, "the image has %d layers, and %d are the most there can be", len(m.Layers), maxLayers)
	}
	im := &Image{
		Digest: digest, ManifestDigest: digest, MediaType: mediaType, Manifest: text,
		ConfigDigest: m.Config.Digest,
	}
	for i := range m.Layers {
		d := &m.Layers[i]
		if !isLayer(d.MediaType) {
			return nil, problem(Unsupported, d.Digest, "it is a layer of a kind that hull cannot unpack: %s", printable(d.MediaType))
		}
		if err := l.check(d); err != nil {
			return nil, err
		}
		im.Layers = append(im.Layers, Layer{Digest: d.Digest, MediaType: d.MediaType, Size: d.Size})
	}
	return im, l.configure(im)
}

// configure reads an image's config, and checks its layers against it.
func (l *loader) configure(im *Image) error {
	text, err := l.document(im.ConfigDigest, im.ConfigDigest)
	if err != nil {
		return err
	}
	var c config
	if err := parse(im.ConfigDigest, text, &c); err != nil {
		return err
	}
	if len(c.RootFS.DiffIDs) != len(im.Layers) {
		return problem(Corrupt, im.ConfigDigest, "the config has %d layers and the manifest %d", len(c.RootFS.DiffIDs), len(im.Layers))
	}
	for i := range im.Layers {
		layer, id := &im.Layers[i], c.RootFS.DiffIDs[i]
		if !isDigest(id) {
			return problem(Corrupt, im.ConfigDigest, "the config has a layer without a usable digest")
		}
		b := l.spool.blobs[layer.Digest]
		switch {
		case b.suffix == "+xz", b.suffix == "+bzip2":
			return problem(Unsupported, layer.Digest, "the layer is compressed with %s, which hull does not read", b.suffix[1:])
		case b.suffix == "" && layer.Digest != id:
			return problem(Corrupt, layer.Digest, "the layer is another than the config says, which has %s", id)
		}
		if layer.Digest == id {
			id = layer.Digest // one copy in memory
		}
		layer.DiffID, layer.Path = id, b.path
	}
	for _, part := range []string{c.OS, c.Architecture, c.Variant} {
		if strings.ContainsFunc(part, notOfPlatform) {
			return problem(Corrupt, im.ConfigDigest, "the config says that it is for %q", printable(part))
		}
	}
	im.Config, im.Platform = text, c.platform.complete(l.spool.o.Platform.OS, l.spool.o.Platform.Architecture)
	return nil
}

// complete writes a platform; images made by hand may not say for what they are.
func (p platform) complete(os, architecture string) string {
	s := cmp.Or(p.OS, os, "linux") + "/" + cmp.Or(p.Architecture, architecture, runtime.GOARCH)
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

func notOfPlatform(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
}

func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// hexOf is a digest without its algorithm.
func hexOf(digest string) string { return strings.TrimPrefix(digest, "sha256:") }
