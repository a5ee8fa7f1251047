package registry

import (
	"encoding/json"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hull/layers/reference"
)

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
