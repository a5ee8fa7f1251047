package archive

import (
	"cmp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hull/layers/reference"
)

// fromLayout takes the images that an OCI layout's index.json names.
func (l *loader) fromLayout(text []byte) error {
	if err := l.checkLayout(); err != nil {
		return err
	}
	var top index
	if err := parse(indexName, text, &top); err != nil {
		return err
	}
	for i := range top.Manifests {
		d := &top.Manifests[i]
		im, err := l.resolve(d, 0)
		if err != nil {
			return err
		}
		if im == nil {
			continue // not an image
		}
		im.Digest = d.Digest
		if im, err = l.add(im); err != nil {
			return err
		}
		ref, ok := d.Annotations.reference()
		if !ok {
			continue
		}
		if err := l.name(ref, im); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) checkLayout() error {
	text, err := l.named(layoutName)
	if err != nil || text == nil {
		return err // some forget the file
	}
	var version struct {
		Version string `json:"imageLayoutVersion"`
	}
	if err := parse(layoutName, text, &version); err != nil {
		return err
	}
	if !strings.HasPrefix(version.Version, "1.") {
		return problem(Unsupported, layoutName, "it is an OCI layout of version %q, and hull reads version 1", printable(version.Version))
	}
	return nil
}

// reference is the name that annotations give. One that is not a whole name, as
// "latest" or "my build", is none.
func (a *annotations) reference() (reference.Reference, bool) {
	text := a.Image
	if text == "" {
		if text = a.Ref; !strings.ContainsAny(text, ":/@") {
			return reference.Reference{}, false
		}
	}
	ref, err := reference.Parse(text)
	return ref, err == nil
}

// resolve finds the image that a descriptor leads to; nil if it leads to something
// else. Of an index, it is the image for the platform, of those that are here: an
// archive need not have them all.
func (l *loader) resolve(d *descriptor, depth int) (*Image, error) {
	if err := l.visit(); err != nil {
		return nil, err
	}
	if depth > maxNesting {
		return nil, problem(TooLarge, d.Digest, "its indexes are nested more than %d deep", maxNesting)
	}
	if d.isOther() {
		return nil, nil
	}
	if err := l.check(d); err != nil {
		return nil, err
	}
	text, err := l.document(d.Digest, d.Digest)
	if err != nil {
		return nil, err
	}
	var m manifest
	if err := parse(d.Digest, text, &m); err != nil {
		return nil, err
	}
	if err := m.unambiguous(d); err != nil {
		return nil, err
	}
	if m.Manifests != nil || d.MediaType == ociIndex || d.MediaType == dockerIndex {
		return l.choose(m.Manifests, depth)
	}
	if m.Config == nil {
		return nil, problem(Corrupt, d.Digest, "it is a manifest without a config")
	}
	if !isConfig(m.Config.MediaType) {
		return nil, nil // a chart, a signature or the like
	}
	mediaType := cmp.Or(m.MediaType, d.MediaType, ociManifest)
	return l.image(&m, mediaType, d.Digest, text)
}

// isOther knows what is surely no image.
func (d *descriptor) isOther() bool {
	switch d.MediaType {
	case ociIndex, ociManifest, dockerIndex, dockerManifest, "":
	default:
		return true
	}
	return d.Annotations.AboutType != "" || d.Platform != nil && d.Platform.OS == "unknown"
}

// unambiguous refuses documents that one reader would take for an index and another
// for a manifest.
func (m *manifest) unambiguous(d *descriptor) error {
	switch {
	case m.Manifests != nil && (m.Config != nil || m.Layers != nil):
		return problem(Hostile, d.Digest, "it is an index and a manifest at once")
	case m.MediaType != "" && d.MediaType != "" && m.MediaType != d.MediaType:
		return problem(Corrupt, d.Digest, "it says of itself that it is %s, and its index that it is %s", printable(m.MediaType), d.MediaType)
	}
	return nil
}

// candidate is an entry of an index, with how well it says that it suits.
type candidate struct {
	*descriptor
	fit int
}

// candidates are the images of an index that are here, those that suit best first.
func (l *loader) candidates(manifests []descriptor) (here []candidate, complete bool) {
	complete = true
	for i := range manifests {
		d := &manifests[i]
		if d.isOther() {
			continue
		}
		if _, ok := l.spool.blobs[d.Digest]; !ok {
			complete = false
			continue
		}
		c := candidate{d, 1} // its config will tell
		if d.Platform != nil {
			c.fit = fit(l.spool.o.Platform, d.Platform.v1())
		}
		here = append(here, c)
	}
	slices.SortStableFunc(here, func(a, b candidate) int { return b.fit - a.fit })
	return here, complete
}

// choose takes of an index the image that suits best. The first of equals wins, as
// with a registry; a single one is taken whatever it is for, as Docker does.
func (l *loader) choose(manifests []descriptor, depth int) (best *Image, err error) {
	here, complete := l.candidates(manifests)
	bestFit, foreign := -1, false
	for _, c := range here {
		if c.fit == 0 && len(here) > 1 {
			foreign = true
			continue
		}
		if c.fit <= bestFit {
			continue
		}
		im, err := l.resolve(c.descriptor, depth+1)
		if err != nil {
			return nil, err
		}
		if im == nil {
			continue
		}
		if f := l.fit(im); f > bestFit {
			best, bestFit = im, f
		}
	}
	switch {
	case len(here) > 1 && bestFit == 0, best == nil && foreign:
		return nil, problem(Platform, "", "it holds no image for %s", l.spool.o.Platform.String())
	case best == nil && !complete:
		return nil, problem(Corrupt, "", "it names images that are not in it")
	}
	return best, nil
}

func (p *platform) v1() v1.Platform {
	return v1.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant}
}
