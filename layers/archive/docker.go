package archive

import (
	"hull/layers/reference"
)

// noName is what old Dockers wrote for images without one.
const noName = "<none>:<none>"

// fromDocker takes the images of manifest.json that the layout has not, and the
// names of all.
func (l *loader) fromDocker(text []byte) error {
	var entries list[saved]
	if err := parse(manifestName, text, &entries); err != nil {
		return err
	}
	for i := range entries {
		e := &entries[i]
		im, err := l.savedImage(e)
		if err != nil {
			return err
		}
		for _, tag := range e.RepoTags {
			if tag == noName {
				continue
			}
			ref, err := reference.Parse(tag)
			if err != nil {
				return problem(Corrupt, manifestName, "it names an image %q, which no image can be called: %w", printable(tag), err)
			}
			if had := l.names[ref]; had != nil && had.ConfigDigest == im.ConfigDigest {
				continue // the layout tells images of one config apart
			}
			if err := l.name(ref, im); err != nil {
				return err
			}
		}
	}
	return nil
}

// savedImage finds the image of an entry among those of the layout, or makes it.
func (l *loader) savedImage(e *saved) (*Image, error) {
	if err := l.visit(); err != nil {
		return nil, err
	}
	id, err := l.content(e.Config)
	if err != nil {
		return nil, err
	}
	for _, im := range l.list {
		if im.ConfigDigest == id {
			return im, nil
		}
	}
	if len(e.Layers) > maxLayers {
		return nil, problem(TooLarge, e.Config, "the image has %d layers, and %d are the most there can be", len(e.Layers), maxLayers)
	}
	im := &Image{ConfigDigest: id, MediaType: ociManifest}
	for _, name := range e.Layers {
		digest, err := l.content(name)
		if err != nil {
			return nil, err
		}
		b := l.spool.blobs[digest]
		im.Layers = append(im.Layers, Layer{Digest: digest, MediaType: ociLayer + b.suffix, Size: b.size})
	}
	if err := l.configure(im); err != nil {
		return nil, err
	}
	if im.Manifest, err = MakeManifest(im.Config, im.Layers); err != nil {
		return nil, err
	}
	im.ManifestDigest = digestOf(im.Manifest)
	im.Digest = im.ManifestDigest
	return l.add(im)
}

// content is the digest of what an entry names.
func (l *loader) content(raw string) (string, error) {
	name, err := clean("", raw)
	if err != nil {
		return "", err
	}
	digest, ok, err := l.spool.find(name)
	if err == nil && !ok {
		err = problem(Corrupt, raw, "it is not in the archive, which is incomplete")
	}
	return digest, err
}
