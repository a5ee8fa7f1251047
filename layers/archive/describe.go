package archive

import (
	"cmp"
	"encoding/json"
	"slices"

	"hull/layers/reference"
)

// planned is an image that will be written, with its documents read.
type planned struct {
	Saved
	parsed manifest
	digest string // of the manifest
}

// plan checks the images' documents, and puts those of one manifest together.
func plan(images []Saved) ([]*planned, error) {
	var list []*planned
	known := map[string]*planned{}
	for _, im := range images {
		digest := digestOf(im.Manifest)
		p := known[digest]
		if p == nil {
			p = &planned{Saved: im, digest: digest}
			p.References = nil
			if err := p.check(); err != nil {
				return nil, err
			}
			known[digest] = p
			list = append(list, p)
		}
		for _, ref := range im.References {
			if ref.Digest == "" && !slices.Contains(p.References, ref) {
				p.References = append(p.References, ref)
			}
		}
	}
	for _, p := range list {
		slices.SortFunc(p.References, func(a, b reference.Reference) int {
			return cmp.Compare(a.String(), b.String())
		})
	}
	return list, nil
}

func (p *planned) check() error {
	if err := parse(p.digest, p.Manifest, &p.parsed); err != nil {
		return err
	}
	if p.parsed.Config == nil || p.parsed.Config.Digest != digestOf(p.Config) {
		return problem(Corrupt, p.digest, "the store's config of the image is not the one that its manifest names; pull the image again")
	}
	for _, l := range p.parsed.Layers {
		if !isDigest(l.Digest) || l.Size < 0 {
			return problem(Corrupt, p.digest, "the image's manifest has a layer without a usable digest")
		}
	}
	return nil
}

// document is a file to be written.
type document struct {
	name string
	text []byte
}

// describe writes the documents that tell what the archive holds.
func describe(list []*planned) ([]document, error) {
	top, entries := topIndex(list), dockerEntries(list)
	repositories := map[string]map[string]string{}
	for _, p := range list {
		if len(p.parsed.Layers) == 0 {
			continue
		}
		for _, ref := range p.References {
			name := ref.FamiliarName()
			if repositories[name] == nil {
				repositories[name] = map[string]string{}
			}
			repositories[name][ref.Tag] = hexOf(p.parsed.Layers[len(p.parsed.Layers)-1].Digest)
		}
	}
	var documents []document
	for _, d := range []struct {
		name string
		v    any
	}{
		{layoutName, struct {
			Version string `json:"imageLayoutVersion"`
		}{"1.0.0"}},
		{indexName, top},
		{manifestName, entries},
		{repositoriesName, repositories},
	} {
		text, err := json.Marshal(d.v)
		if err != nil {
			return nil, err
		}
		documents = append(documents, document{d.name, text})
	}
	return documents, nil
}

// written is an index.json.
type written struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

// topIndex has an entry for each name, as Docker's has. OCI's own annotation is the
// tag, as with Docker, unless two names share it: then the whole name tells them
// apart.
func topIndex(list []*planned) written {
	top := written{SchemaVersion: 2, MediaType: ociIndex, Manifests: []descriptor{}}
	tags := map[string]int{}
	for _, p := range list {
		for _, ref := range p.References {
			tags[ref.Tag]++
		}
	}
	for _, p := range list {
		d := descriptor{MediaType: p.mediaType(), Digest: p.digest, Size: int64(len(p.Manifest))}
		if len(p.References) == 0 {
			top.Manifests = append(top.Manifests, d)
		}
		for _, ref := range p.References {
			d.Annotations = annotations{Image: ref.String(), Ref: ref.Tag}
			if tags[ref.Tag] > 1 {
				d.Annotations.Ref = ref.String()
			}
			top.Manifests = append(top.Manifests, d)
		}
	}
	return top
}

func (p *planned) mediaType() string { return cmp.Or(p.MediaType, p.parsed.MediaType, ociManifest) }

// dockerEntry is an entry of manifest.json as it is written.
type dockerEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// dockerEntries names images in full, unlike Docker, which understands that as well:
// Podman puts what has no domain under localhost/.
func dockerEntries(list []*planned) []dockerEntry {
	entries := make([]dockerEntry, 0, len(list))
	for _, p := range list {
		e := dockerEntry{Config: blobsName + hexOf(p.parsed.Config.Digest), Layers: []string{}}
		for _, ref := range p.References {
			e.RepoTags = append(e.RepoTags, ref.String())
		}
		for _, l := range p.parsed.Layers {
			e.Layers = append(e.Layers, blobsName+hexOf(l.Digest))
		}
		entries = append(entries, e)
	}
	return entries
}
