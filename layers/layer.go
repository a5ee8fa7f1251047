package layers

import (
	"encoding/json"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
)

// emptyLayer is the name in layers/ of the one that holds nothing: the bottom of
// images without layers.
const emptyLayer = "empty"

// layer is a committed layer, and the content of its layer.json.
type layer struct {
	DiffID    string `json:"diff_id"`
	ChainID   string `json:"chain_id"`   // where it was unpacked first
	FromBelow bool   `json:"from_below"` // it is right only on that chain
	Size      int64  `json:"size"`       // bytes of its files
	Entries   int64  `json:"entries"`

	made time.Time // when it was unpacked: of its record's file
}

// key is the layer's name in layers/, as a digest.
func (l *layer) key() string {
	if l.FromBelow {
		return l.ChainID
	}
	return l.DiffID
}

// fits says whether the layer, found under any key, is what unpacking diff on
// that chain would give.
func (l *layer) fits(diff, chain string) bool {
	return l.DiffID == diff && (!l.FromBelow || l.ChainID == chain)
}

// committed looks a layer up by both keys it can have. The caller holds mu.
func (s *Store) committed(diff, chain string) *layer {
	for _, key := range []string{diff, chain} {
		if l := s.layers[key]; l != nil && l.fits(diff, chain) {
			return l
		}
	}
	return nil
}

// readLayers loads layers/. What has no readable record, or one that belongs
// elsewhere, does not exist; Sweep removes it.
func (s *Store) readLayers() error {
	entries, err := os.ReadDir(s.path("layers"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == emptyLayer {
			continue
		}
		if info, err := os.Lstat(s.path("layers", e.Name(), "diff")); err != nil || !info.IsDir() {
			s.log.Warn("a layer has no files", "layer", e.Name(), "err", err)
			continue
		}
		text, err := sys.ReadRegular(s.path("layers", e.Name(), "layer.json"), maxRecord)
		if err != nil {
			s.log.Warn("a layer has no record", "layer", e.Name(), "err", err)
			continue
		}
		l := new(layer)
		if err := json.Unmarshal(text, l); err != nil || l.key() != "sha256:"+e.Name() {
			s.log.Warn("a layer's record is not its own", "layer", e.Name(), "err", err)
			continue
		}
		l.made = s.layerMade(l.key())
		s.layers[l.key()] = l
	}
	return nil
}

// layerMade is when a committed layer's record was written; it stays over restarts.
func (s *Store) layerMade(key string) time.Time {
	info, err := os.Stat(s.path("layers", layerName(key), "layer.json"))
	if err != nil {
		return time.Time{} // it is going at this moment
	}
	return info.ModTime()
}

// layerName is a layer's directory in layers/. Its key has been checked when it
// came into the maps.
func layerName(key string) string { return strings.TrimPrefix(key, "sha256:") }

// openTree opens a layer's tree without the right to read it: enough for the
// layers above to look things up.
func openTree(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// sized returns a copy of the image's description that knows its size. The caller
// holds mu, or has the store for itself.
func (s *Store) sized(im *stored) *stored {
	copied := *im
	copied.size, copied.keys = 0, make([]string, 0, len(im.Layers))
	for _, l := range im.Layers {
		copied.keys = append(copied.keys, l.Key)
		if have := s.layers[l.Key]; have != nil {
			copied.size += have.Size
		}
	}
	return &copied
}

// stack is the keys of an image's layers for an overlay, highest first. A layer
// that occurs twice is taken where it is highest: it hides all that its lower
// occurrence could show, and the kernel refuses one directory twice.
func (im *stored) stack() []string {
	seen := make(map[string]bool, len(im.Layers))
	keys := make([]string, 0, len(im.Layers))
	for i := len(im.Layers) - 1; i >= 0; i-- {
		if key := im.Layers[i].Key; !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		keys = append(keys, emptyLayer)
	}
	return keys
}
