// Package archive reads and writes files of images: what docker save, podman save
// and skopeo write, and OCI image layouts.
//
// # Reading
//
// [Load] takes a stream and goes through it once, for it may be a pipe. Which of its
// files are documents and which are layers is known only when manifest.json or
// index.json has come, and those may come last: so every file is written to a
// directory as a blob, named by its digest, and looked at afterwards. Links between
// files, which older Dockers wrote for layers that images share, are followed by
// name within the archive. What no image needs is removed again.
//
// An archive is a stranger's. No name in it ever becomes a path on disk; sizes,
// numbers of things and documents are bounded; a blob has the digest that its name
// or its manifest claims, a layer that is not compressed has its diff ID; a name
// with a digest is refused for anything but the image of that digest. What is not
// checked here is a compressed layer's diff ID: unpacking does that.
//
// An archive may describe its images twice, by an OCI layout (index.json) and by
// Docker's manifest.json, as Docker since version 25 and [Save] do. The layout says
// more, namely the manifests, and is believed; manifest.json adds names to its
// images, and images that the layout lacks. For those a manifest is made.
//
// # Writing
//
// [Save] writes both descriptions over one set of blobs, from an image's own
// documents and compressed layers: what is loaded again has the same digests. The
// stream depends on the images alone.
package archive

import (
	"hull/layers/reference"
)

// Image is an image in an archive. All of it is verified but the diff IDs of
// compressed layers. Apart from References and paths it is what a registry tells of
// an image.
type Image struct {
	// References are the names it has, sorted, each once in a whole archive. There
	// may be none: then it is known by its ID.
	References []reference.Reference
	// Digest is of what the archive's index named: an index of several platforms, or
	// the manifest.
	Digest         string
	ManifestDigest string // of Manifest
	MediaType      string // of Manifest: OCI's or Docker's
	Manifest       []byte // byte for byte, or made if the archive has none
	ConfigDigest   string // of Config: the image's ID
	Config         []byte // byte for byte
	Layers         []Layer
	Platform       string // "linux/amd64", "linux/arm/v7"
}

// Layer is one layer of an image, lowest first.
type Layer struct {
	Digest    string // of the blob, "sha256:…"
	MediaType string // from the manifest
	Size      int64  // of the blob, in bytes
	DiffID    string // digest of the uncompressed tar, "sha256:…"
	Path      string // the blob on disk; layers that are the same share it
}

// The files of an archive.
const (
	indexName        = "index.json"
	layoutName       = "oci-layout"
	manifestName     = "manifest.json"
	repositoriesName = "repositories"
	blobsName        = "blobs/sha256/"
)

// The media types that matter.
const (
	ociIndex       = "application/vnd.oci.image.index.v1+json"
	ociManifest    = "application/vnd.oci.image.manifest.v1+json"
	ociConfig      = "application/vnd.oci.image.config.v1+json"
	ociLayer       = "application/vnd.oci.image.layer.v1.tar"
	dockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerConfig   = "application/vnd.docker.container.image.v1+json"
	dockerLayer    = "application/vnd.docker.image.rootfs.diff.tar"
)

// isLayer says whether a media type is a tar, with a compression that hull reads.
func isLayer(mediaType string) bool {
	switch mediaType {
	case ociLayer, ociLayer + "+gzip", ociLayer + "+zstd",
		"application/vnd.oci.image.layer.nondistributable.v1.tar",
		"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
		"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
		dockerLayer, dockerLayer + ".gzip", dockerLayer + ".zstd",
		"application/vnd.docker.image.rootfs.foreign.diff.tar",
		"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip":
		return true
	}
	return false
}

// isConfig says whether a media type is a container image's config; old Dockers
// wrote the last two.
func isConfig(mediaType string) bool {
	switch mediaType {
	case ociConfig, dockerConfig, "", "application/octet-stream":
		return true
	}
	return false
}
