package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hull/layers/reference"
)

// What a registry may make hull hold in memory or work through. The kernel's
// overlay takes 500 layers.
const (
	maxDocument = 4 << 20 // bytes of a manifest or a configuration
	maxLayers   = 500
	maxEntries  = 1024 // of an index
	maxDepth    = 4    // indexes within indexes
)

// Media types of manifests and indexes.
const (
	ociManifest    = "application/vnd.oci.image.manifest.v1+json"
	ociIndex       = "application/vnd.oci.image.index.v1+json"
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// accept lists what hull reads, for the Accept header.
var accept = []string{ociIndex, dockerIndex, ociManifest, dockerManifest}

// descriptor points to a blob or a manifest.
type descriptor struct {
	MediaType    string       `json:"mediaType"`
	ArtifactType string       `json:"artifactType"`
	Digest       string       `json:"digest"`
	Size         int64        `json:"size"`
	Platform     *v1.Platform `json:"platform"`
}

// valid reports whether a descriptor can be asked for. Its digest becomes the
// name of a file later.
func (d *descriptor) valid() bool {
	return reference.IsDigest(d.Digest) && d.Size >= 0
}

// descriptors is a list that refuses to grow beyond what any image has, before
// the memory for it is taken: four megabytes of "{}," would become hundreds.
type descriptors []descriptor

// UnmarshalJSON reads a list up to its limit.
func (d *descriptors) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	*d = descriptors{} // an empty list is there all the same
	return decodeList(b, maxEntries, func(dec *json.Decoder) error {
		var one descriptor
		err := dec.Decode(&one)
		*d = append(*d, one)
		return err
	})
}

// digests is a list of strings, limited in the same way.
type digests []string

// UnmarshalJSON reads a list up to its limit.
func (d *digests) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	return decodeList(b, maxEntries, func(dec *json.Decoder) error {
		var one string
		err := dec.Decode(&one)
		*d = append(*d, one)
		return err
	})
}

var errTooMany = errors.New("too many entries")

func decodeList(b []byte, limit int, one func(*json.Decoder) error) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return errors.New("not a list")
	}
	for n := 0; dec.More(); n++ {
		if n == limit {
			return errTooMany
		}
		if err := one(dec); err != nil {
			return err
		}
	}
	return nil
}

// document is a manifest or an index, which share one form.
type document struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     string          `json:"mediaType"`
	ArtifactType  string          `json:"artifactType"`
	Config        *descriptor     `json:"config"`
	Layers        descriptors     `json:"layers"`
	Manifests     descriptors     `json:"manifests"`
	FSLayers      json.RawMessage `json:"fsLayers"`
}

// problem is what is wrong with a document: its Kind, and a clause.
type problem struct {
	kind   Kind
	reason string
}

func (p *problem) Error() string { return p.reason }

// parseDocument reads a manifest or index. contentType is the header it came
// with, which registries often have wrong; the document's own word counts more.
func parseDocument(body []byte, contentType string) (*document, *problem) {
	d := &document{}
	if err := json.Unmarshal(body, d); err != nil {
		if errors.Is(err, errTooMany) {
			return nil, &problem{TooLarge, "its manifest has more entries than hull accepts"}
		}
		return nil, &problem{Corrupt, "its manifest is not well-formed JSON"}
	}
	if d.SchemaVersion == 1 || d.FSLayers != nil {
		return nil, &problem{Protocol, "it is of Docker's schema 1, which nothing reads any more; push it again with a newer Docker"}
	}
	if d.MediaType == "" {
		d.MediaType, _, _ = strings.Cut(contentType, ";")
		d.MediaType = strings.TrimSpace(d.MediaType)
	}
	// Something that reads as both could be checked as one and used as the
	// other (CVE-2021-41190).
	isIndex, isImage := d.Manifests != nil, d.Config != nil || d.Layers != nil
	if isIndex && isImage {
		return nil, &problem{Protocol, "its manifest claims to be an index as well"}
	}
	switch d.MediaType {
	case ociIndex, dockerIndex:
		if isImage {
			return nil, &problem{Protocol, "its index is written as a manifest"}
		}
	case ociManifest, dockerManifest:
		if isIndex {
			return nil, &problem{Protocol, "its manifest is written as an index"}
		}
	case "", "application/json", "application/octet-stream", "text/plain":
		d.MediaType = ociManifest
		if isIndex {
			d.MediaType = ociIndex
		}
	default:
		return nil, &problem{Protocol, "it is of a kind that hull cannot use: " + printable(d.MediaType)}
	}
	return d, nil
}

func (d *document) isIndex() bool { return d.MediaType == ociIndex || d.MediaType == dockerIndex }

// entry chooses an index's entry for a host. Its Platform is nil if the index
// does not say for which it is.
func (d *document) entry(host v1.Platform) (*descriptor, *problem) {
	var platforms []v1.Platform
	var places []int
	unknown := -1
	for i := range d.Manifests {
		m := &d.Manifests[i]
		switch m.MediaType {
		case ociManifest, dockerManifest, ociIndex, dockerIndex:
		default:
			continue
		}
		switch {
		case m.Platform == nil:
			if unknown < 0 {
				unknown = i // perhaps; its configuration will tell
			}
		case m.Platform.OS == "unknown": // an attestation of BuildKit's
		default:
			platforms, places = append(platforms, *m.Platform), append(places, i)
		}
	}
	switch i := choose(host, platforms); {
	case i >= 0:
		return d.valid(places[i])
	case unknown >= 0 && len(platforms) == 0:
		return d.valid(unknown)
	}
	return nil, &problem{Platform, unsuited(host, platforms)}
}

func (d *document) valid(i int) (*descriptor, *problem) {
	m := &d.Manifests[i]
	if !m.valid() {
		return nil, &problem{Protocol, "its index has an entry without a usable digest"}
	}
	if m.Size > maxDocument {
		return nil, &problem{TooLarge, "its manifest is larger than hull accepts"}
	}
	return m, nil
}

// checkManifest demands of an image's manifest that everything it points to can
// be asked for.
func (d *document) checkManifest() *problem {
	switch {
	case d.Config == nil || !d.Config.valid():
		return &problem{Protocol, "its manifest has no usable configuration"}
	case !isConfig(d.Config.MediaType):
		kind := d.Config.MediaType
		if d.ArtifactType != "" {
			kind = d.ArtifactType
		}
		return &problem{Protocol, "it is not a container image but " + printable(kind)}
	case d.Config.Size > maxDocument:
		return &problem{TooLarge, "its configuration is larger than hull accepts"}
	case len(d.Layers) > maxLayers:
		return &problem{TooLarge, fmt.Sprintf("it has %d layers, and %d are the most there can be", len(d.Layers), maxLayers)}
	}
	for i := range d.Layers {
		l := &d.Layers[i]
		if !l.valid() {
			return &problem{Protocol, "its manifest has a layer without a usable digest"}
		}
		if !isLayer(l.MediaType) {
			return &problem{Protocol, "it has a layer of a kind that hull cannot unpack: " + printable(l.MediaType)}
		}
	}
	return nil
}

func isConfig(mediaType string) bool {
	switch mediaType {
	case "application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json",
		"", "application/octet-stream": // what old Dockers wrote
		return true
	}
	return false
}

// isLayer reports whether a media type is a tar, with a compression that hull
// reads. What may not be distributed is fetched like the rest, if it is there.
func isLayer(mediaType string) bool {
	switch mediaType {
	case "application/vnd.oci.image.layer.v1.tar",
		"application/vnd.oci.image.layer.v1.tar+gzip",
		"application/vnd.oci.image.layer.v1.tar+zstd",
		"application/vnd.oci.image.layer.nondistributable.v1.tar",
		"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
		"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
		"application/vnd.docker.image.rootfs.diff.tar",
		"application/vnd.docker.image.rootfs.diff.tar.gzip",
		"application/vnd.docker.image.rootfs.diff.tar.zstd",
		"application/vnd.docker.image.rootfs.foreign.diff.tar",
		"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip":
		return true
	}
	return false
}

// config is what a configuration must say for its image to be used.
type config struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant"`
	RootFS       struct {
		DiffIDs digests `json:"diff_ids"`
	} `json:"rootfs"`
}

// parseConfig reads a configuration and checks it against the number of its
// manifest's layers. The host's platform stands for one that it does not name.
func parseConfig(body []byte, layers int, host v1.Platform) (*config, *problem) {
	c := &config{}
	if err := json.Unmarshal(body, c); err != nil {
		if errors.Is(err, errTooMany) {
			return nil, &problem{TooLarge, "its configuration has more layers than hull accepts"}
		}
		return nil, &problem{Corrupt, "its configuration is not well-formed JSON"}
	}
	if len(c.RootFS.DiffIDs) != layers {
		return nil, &problem{Corrupt, fmt.Sprintf("its manifest has %d layers and its configuration %d", layers, len(c.RootFS.DiffIDs))}
	}
	for _, id := range c.RootFS.DiffIDs {
		if !reference.IsDigest(id) {
			return nil, &problem{Corrupt, "its configuration has a layer without a usable digest"}
		}
	}
	// Images made by hand may not say for what they are.
	if c.OS == "" {
		c.OS = host.OS
	}
	if c.Architecture == "" {
		c.Architecture, c.Variant = host.Architecture, host.Variant
	}
	return c, nil
}

func (c *config) platform() v1.Platform {
	return v1.Platform{OS: c.OS, Architecture: c.Architecture, Variant: c.Variant}
}
