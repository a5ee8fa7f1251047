package registry

import "hull/layers/reference"

// Image is what a registry knows of an image, apart from its layers' bytes. All
// of it is verified: the documents have the digests they are asked for by, there
// is a layer for each diff ID, and every digest is well-formed.
type Image struct {
	Reference reference.Reference // as it was asked for
	// Digest is of what the reference named: the index if it names one, else
	// the manifest. It is what Docker prints as "Digest:" and takes after an @.
	Digest         string
	ManifestDigest string // of Manifest
	MediaType      string // of Manifest: OCI's or Docker's
	Manifest       []byte // as it was fetched, byte for byte
	ConfigDigest   string // of Config: the image's ID
	Config         []byte // as it was fetched, byte for byte
	Layers         []Layer
	Platform       string // from the configuration: "linux/amd64", "linux/arm/v7"
}

// Layer is one layer of an image, as it is stored in a registry.
type Layer struct {
	Digest    string // of the compressed blob, "sha256:…"
	MediaType string // says how it is compressed, if that is to be believed
	Size      int64  // of the compressed blob, in bytes
	DiffID    string // digest of the uncompressed tar, "sha256:…"
}
