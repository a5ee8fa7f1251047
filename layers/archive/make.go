package archive

import (
	"encoding/json"
	"strings"
)

// ManifestType is the media type of what [MakeManifest] makes.
const ManifestType = ociManifest

// MakeManifest writes the OCI manifest of an image that has none: one of a Docker
// archive, or one that was just committed. It is byte for byte what Docker writes
// into its archives since version 25, so that an image has one digest however it
// came. Of the layers it takes digest, size and media type; Docker's media types
// become OCI's, which mean the same bytes.
func MakeManifest(config []byte, layers []Layer) ([]byte, error) {
	m := struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Config        descriptor   `json:"config"`
		Layers        []descriptor `json:"layers"`
	}{
		SchemaVersion: 2, MediaType: ociManifest,
		Config: descriptor{MediaType: ociConfig, Digest: digestOf(config), Size: int64(len(config))},
		Layers: []descriptor{},
	}
	for _, l := range layers {
		m.Layers = append(m.Layers, descriptor{MediaType: ociType(l.MediaType), Digest: l.Digest, Size: l.Size})
	}
	return json.Marshal(m)
}

// ociType is OCI's name of a layer's media type.
func ociType(mediaType string) string {
	if rest, ok := strings.CutPrefix(mediaType, dockerLayer); ok {
		return ociLayer + strings.Replace(rest, ".", "+", 1)
	}
	const foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar"
	if rest, ok := strings.CutPrefix(mediaType, foreign); ok { // it is here, so it may be given on
		return ociLayer + strings.Replace(rest, ".", "+", 1)
	}
	return mediaType
}
