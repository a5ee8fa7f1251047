package archive

import (
	"cmp"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hull/layers/reference"
)

// loader makes images of what has been spooled.
type loader struct {
	spool     *spool
	documents map[string][]byte // by digest
	read      int64             // bytes of them
	visits    int               // documents looked at, of which the same may be many

	list     []*Image
	byDigest map[string]*Image // by the digest of their manifest
	names    map[reference.Reference]*Image
	wanted   map[string]bool // blobs that are layers of images
}

// images are what the archive holds, in its order.
func (l *loader) images() ([]*Image, error) {
	l.names, l.wanted = map[reference.Reference]*Image{}, map[string]bool{}
	layout, err := l.named(indexName)
	if err != nil {
		return nil, err
	}
	docker, err := l.named(manifestName)
	if err != nil {
		return nil, err
	}
	if layout == nil && docker == nil {
		return nil, l.nothing()
	}
	if layout != nil {
		if err := l.fromLayout(layout); err != nil {
			return nil, err
		}
	}
	if docker != nil {
		if err := l.fromDocker(docker); err != nil {
			return nil, err
		}
	}
	if len(l.list) == 0 {
		return nil, problem(Unsupported, "", "it holds no container image")
	}
	l.finish()
	return l.list, nil
}

// nothing says what an archive without a description is.
func (l *loader) nothing() error {
	if _, ok := l.spool.files[repositoriesName]; ok {
		return problem(Unsupported, "", "it has the form of Docker before 1.10, without %s; load and save it with a newer Docker", manifestName)
	}
	if l.spool.count == 0 {
		return problem(Unsupported, "", "it is empty; give it what docker save or podman save has written, or an OCI layout as a tar file")
	}
	return problem(Unsupported, "", "it has neither %s nor %s, so it is no archive of images; give it what docker save or podman save has written, or an OCI layout as a tar file", indexName, manifestName)
}

// finish gives the images their names, and notes what they need.
func (l *loader) finish() {
	for ref, im := range l.names {
		im.References = append(im.References, ref)
	}
	for _, im := range l.list {
		slices.SortFunc(im.References, func(a, b reference.Reference) int {
			return cmp.Compare(a.String(), b.String())
		})
		for _, layer := range im.Layers {
			l.wanted[layer.Digest] = true
		}
	}
}

// add takes an image, or the one of the same manifest that is there already.
func (l *loader) add(im *Image) (*Image, error) {
	if known := l.byDigest[im.ManifestDigest]; known != nil {
		return known, nil
	}
	if len(l.list) == maxImages {
		return nil, problem(TooLarge, "", "it holds more than %d images", maxImages)
	}
	l.byDigest[im.ManifestDigest] = im
	l.list = append(l.list, im)
	return im, nil
}

// name gives an image a name. Of two images with one name, that for the wanted
// platform has it, or else the last.
func (l *loader) name(ref reference.Reference, im *Image) error {
	if ref.Digest != "" && ref.Digest != im.Digest && ref.Digest != im.ManifestDigest {
		return problem(Hostile, ref.Familiar(), "it gives this name to the image %s", im.ManifestDigest)
	}
	if had := l.names[ref]; had != nil && l.suits(had) && !l.suits(im) {
		return nil
	}
	if len(l.names) == maxTags {
		return problem(TooLarge, "", "it holds more than %d names", maxTags)
	}
	l.names[ref] = im
	return nil
}

func (l *loader) suits(im *Image) bool { return l.fit(im) > 0 }

// fit says how well an image suits the platform that is wanted.
func (l *loader) fit(im *Image) int {
	p, err := v1.ParsePlatform(im.Platform)
	if err != nil {
		return 0
	}
	return fit(l.spool.o.Platform, *p)
}

// fit says how well a platform is another: 0 not at all, 2 exactly. A want without
// an operating system takes any.
func fit(want, have v1.Platform) int {
	switch {
	case want.OS != "" && (want.OS != have.OS || want.Architecture != have.Architecture):
		return 0
	case want.Variant == have.Variant:
		return 2
	}
	return 1
}

// visit counts documents: a small index can lead to the same ones again and again.
func (l *loader) visit() error {
	if l.visits++; l.visits > 4*maxImages {
		return problem(TooLarge, "", "its indexes name more than %d images", 4*maxImages)
	}
	return nil
}
