package registry

import (
	"bytes"
	"encoding/json"
	"errors"
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
