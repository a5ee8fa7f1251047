package layers

import (
	"encoding/json"
	"errors"
	"os"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hull/layers/internal/sys"
)

// parsedConfigs keeps the configs of images that were asked for.
type parsedConfigs struct {
	mu   sync.Mutex
	byID map[string]*v1.ConfigFile
}

// maxValues is how many values a config may have: real ones have some hundreds. In
// memory "{}," of a history takes fifty times what it takes in the text.
const maxValues = 64 << 10

var errTooManyValues = errors.New("it lists more than any image has")

func parseConfig(text []byte) (*v1.ConfigFile, error) {
	if values(text) > maxValues {
		return nil, errTooManyValues
	}
	c := new(v1.ConfigFile)
	if err := json.Unmarshal(text, c); err != nil {
		return nil, err
	}
	return c, nil
}

// values is how many values a JSON text has, within two for each that is nested.
func values(text []byte) (n int) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == '{' || c == '['):
			n++
		}
	}
	return n
}

func (c *parsedConfigs) get(id string) *v1.ConfigFile {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byID[id]
}

// How many configs are kept, and up to which length: real ones have a few kB.
const (
	maxConfigs    = 1024
	maxKeptConfig = 64 << 10
)

func (c *parsedConfigs) put(id string, config *v1.ConfigFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.byID) >= maxConfigs {
		clear(c.byID) // those in use are parsed anew
	}
	if c.byID == nil {
		c.byID = map[string]*v1.ConfigFile{}
	}
	c.byID[id] = config
}

func (c *parsedConfigs) drop(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byID, id)
}

// ImageConfig is an image's config, parsed, by the image's ID. It is shared: do
// not change it.
func (s *Store) ImageConfig(imageID string) (*v1.ConfigFile, error) {
	if c := s.parsed.get(imageID); c != nil {
		return c, nil
	}
	text, err := s.Config(imageID)
	if err != nil {
		return nil, err
	}
	c, err := parseConfig(text)
	if err != nil {
		return nil, failf("read", imageID, Corrupt, "its config in the store is damaged (%w); pull it again", err)
	}
	if len(text) <= maxKeptConfig {
		s.parsed.put(imageID, c)
	}
	return c, nil
}

// Config is an image's config as it was fetched, byte for byte. Its digest is the
// image's ID.
func (s *Store) Config(name string) ([]byte, error) {
	st, err := s.findStored("read", name)
	if err != nil {
		return nil, err
	}
	return s.readBlob(name, st.ID)
}

// Manifest is an image's manifest as it was fetched, byte for byte: the one of
// its platform, not an index.
func (s *Store) Manifest(name string) ([]byte, error) {
	st, err := s.findStored("read", name)
	if err != nil {
		return nil, err
	}
	return s.readBlob(name, st.Manifest)
}

// maxDocument is more than the registry's client and the archives let through.
const maxDocument = 64 << 20

// readBlob reads a manifest or a config, and makes sure that it is the one.
func (s *Store) readBlob(name, digest string) ([]byte, error) {
	text, err := sys.ReadRegular(s.blobPath(digest), maxDocument)
	switch {
	case os.IsNotExist(err):
		return nil, failf("read", name, Removed, "its document %s is not in the store any more; write repair to hull's ctl", shortDigest(digest))
	case err != nil:
		return nil, wrap("read", name, err)
	case sumOf(text) != digest:
		return nil, failf("read", name, Corrupt, "its document %s in the store is damaged; write repair to hull's ctl", shortDigest(digest))
	}
	return text, nil
}

// LayerInfo is one layer of an image.
type LayerInfo struct {
	DiffID    string // of the uncompressed layer
	Key       string // its name in the store: the diff ID, or the chain ID
	Blob      string // digest of the compressed layer
	MediaType string
	BlobSize  int64  // compressed
	Size      int64  // of its files
	Path      string // its tree on disk, which only root may enter
}

// Layers are an image's layers, lowest first.
func (s *Store) Layers(name string) ([]LayerInfo, error) {
	st, err := s.findStored("read", name)
	if err != nil {
		return nil, err
	}
	infos := make([]LayerInfo, 0, len(st.Layers))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range st.Layers {
		info := LayerInfo{DiffID: l.DiffID, Key: l.Key, Blob: l.Blob, MediaType: l.MediaType, BlobSize: l.BlobSize}
		info.Path = s.path("layers", layerName(l.Key), "diff")
		if have := s.layers[l.Key]; have != nil {
			info.Size = have.Size
		}
		infos = append(infos, info)
	}
	return infos, nil
}
