package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
)

// index is index.json, and an index of one image's platforms.
type index struct {
	MediaType string           `json:"mediaType"`
	Manifests list[descriptor] `json:"manifests"`
}

// manifest is an image's manifest, of either make, or (by Manifests) an index.
type manifest struct {
	MediaType string           `json:"mediaType"`
	Config    *descriptor      `json:"config"`
	Layers    list[descriptor] `json:"layers"`
	Manifests list[descriptor] `json:"manifests"`
}

type descriptor struct {
	MediaType   string      `json:"mediaType"`
	Digest      string      `json:"digest"`
	Size        int64       `json:"size"`
	Annotations annotations `json:"annotations,omitzero"`
	Platform    *platform   `json:"platform,omitempty"`
}

// annotations are those that name an image (by its whole name, as containerd, Docker
// and Podman have it, and OCI's, which holds anything from a tag to a name) and the
// one by which BuildKit marks what is not an image but speaks of one.
type annotations struct {
	Image     string `json:"io.containerd.image.name,omitempty"`
	Ref       string `json:"org.opencontainers.image.ref.name,omitempty"`
	AboutType string `json:"vnd.docker.reference.type,omitempty"`
}

type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant,omitempty"`
}

// config is what an image's config must say for it to be used.
type config struct {
	platform
	RootFS struct {
		DiffIDs list[string] `json:"diff_ids"`
	} `json:"rootfs"`
}

// saved is an entry of Docker's manifest.json.
type saved struct {
	Config   string
	RepoTags list[string]
	Layers   list[string]
}

// list is a JSON array that is given up where it gets too long: "{}," is three
// bytes in a document and a hundred in memory.
type list[T any] []T

// maxList is more than anything honest has; the things themselves have lower bounds.
const maxList = 4096

var errTooMany = errors.New("it lists too many things")

// UnmarshalJSON reads the elements one by one.
func (l *list[T]) UnmarshalJSON(text []byte) error {
	*l = nil
	if bytes.Equal(bytes.TrimSpace(text), []byte("null")) {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return errors.Join(errors.New("a list was expected"), err)
	}
	*l = list[T]{} // there, if empty
	for d.More() {
		if len(*l) == maxList {
			return errTooMany
		}
		var v T
		if err := d.Decode(&v); err != nil {
			return err
		}
		*l = append(*l, v)
	}
	return nil
}

// parse reads a document into v.
func parse(name string, text []byte, v any) error {
	err := json.Unmarshal(text, v)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTooMany):
		return problem(TooLarge, name, "%w", err)
	}
	return problem(Corrupt, name, "it is not what such a document has to be: %w", err)
}

// document reads a content from the directory into memory, once.
func (l *loader) document(name, digest string) ([]byte, error) {
	if text, ok := l.documents[digest]; ok {
		return text, nil
	}
	size := l.spool.blobs[digest].size
	if size > maxDocument {
		return nil, problem(TooLarge, name, "it has %d bytes, and a manifest or config has at most %d MiB", size, maxDocument>>20)
	}
	if l.read += size; l.read > maxDocuments {
		return nil, problem(TooLarge, name, "its manifests and configs take more than %d MiB", maxDocuments>>20)
	}
	text, err := os.ReadFile(l.spool.blobs[digest].path)
	if err != nil {
		return nil, err
	}
	l.documents[digest] = text
	return text, nil
}

// named reads the document of a name; nil if there is none.
func (l *loader) named(name string) ([]byte, error) {
	digest, ok, err := l.spool.find(name)
	if err != nil || !ok {
		return nil, err
	}
	return l.document(name, digest)
}
