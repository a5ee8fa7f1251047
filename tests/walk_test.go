package tests

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// walkStore goes through a store's directory without any of the store's own code
// and says what is wrong with it: what a record reaches and is not there or is not
// what its name says, and what is there and no record reaches.
func walkStore(dir string) (problems []string) {
	w := &walk{dir: dir, blobs: map[string]bool{}, layers: map[string]bool{"empty": true}}
	w.records()
	for _, name := range w.list("blobs/sha256") {
		needed, known := w.blobs[name]
		switch {
		case !known:
			w.tell("blobs/sha256/%s belongs to nothing", name)
		case w.hash("blobs/sha256/"+name) != name:
			w.tell("blobs/sha256/%s is damaged", name)
		}
		_ = needed
		delete(w.blobs, name)
	}
	for name, needed := range w.blobs {
		if needed {
			w.tell("blobs/sha256/%s is missing", name)
		}
	}
	for _, name := range w.list("layers") {
		if !w.layers[name] {
			w.tell("layers/%s belongs to nothing", name)
		}
		if info, err := os.Lstat(filepath.Join(dir, "layers", name, "diff")); err != nil || !info.IsDir() {
			w.tell("layers/%s has no files", name)
		}
		delete(w.layers, name)
	}
	for name := range w.layers {
		w.tell("layers/%s is missing", name)
	}
	for _, place := range []string{"ingest", "staging", "trash"} {
		for _, name := range w.list(place) {
			w.tell("%s/%s was left", place, name)
		}
	}
	for _, name := range w.list(".") {
		if !slices.Contains(strings.Fields("lock blobs layers images ingest staging trash containers events events.old registries volumes networks life"), name) {
			w.tell("%s is in the store", name)
		}
	}
	slices.Sort(w.problems)
	return w.problems
}

type walk struct {
	dir      string
	blobs    map[string]bool // by hex: whether an image needs it; compressed layers need not be here
	layers   map[string]bool
	problems []string
}

func (w *walk) tell(format string, args ...any) {
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

func (w *walk) list(place string) []string {
	entries, err := os.ReadDir(filepath.Join(w.dir, place))
	if err != nil {
		w.tell("%v", err)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (w *walk) hash(name string) string {
	f, err := os.Open(filepath.Join(w.dir, name))
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err.Error()
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// records collects what images/ reaches.
func (w *walk) records() {
	for _, name := range w.list("images") {
		text, err := os.ReadFile(filepath.Join(w.dir, "images", name))
		if err != nil {
			w.tell("%v", err)
			continue
		}
		var r struct {
			Status string
			Image  *struct {
				ID, Manifest string
				Layers       []struct{ Blob, Key string }
			}
		}
		if err := json.Unmarshal(text, &r); err != nil {
			w.tell("images/%s: %v", name, err)
			continue
		}
		if r.Image == nil || r.Status != "ready" {
			w.tell("images/%s is %s", name, r.Status)
			continue
		}
		w.blobs[bare(r.Image.ID)], w.blobs[bare(r.Image.Manifest)] = true, true
		for _, l := range r.Image.Layers {
			w.layers[bare(l.Key)] = true
			w.blobs[bare(l.Blob)] = w.blobs[bare(l.Blob)] || false
		}
	}
}

func bare(digest string) string { return strings.TrimPrefix(digest, "sha256:") }
