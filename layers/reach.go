package layers

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

// load reads what the directory holds into memory.
func (s *Store) load() error {
	// Nothing of an earlier daemon's unpacking is of use: only what is verified
	// counts, and it is not known what is.
	if err := s.clearStaging(); err != nil {
		return err
	}
	if err := s.readLayers(); err != nil {
		return err
	}
	if err := s.readBlobs(); err != nil {
		return err
	}
	records, whole, err := s.readRecords()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.whole = whole
	for _, r := range records {
		if r.Image != nil && !s.complete(r.Image) {
			s.log.Warn("an image in the store is not whole any more", "image", r.name)
			copied := *r
			r = &copied
			r.Image, r.Status, r.ErrorKind = nil, Failed, Corrupt.String()
			r.Error = "parts of " + r.name + " are missing in the store; pull it again, or remove it"
			if r.Reference == "" {
				continue // nothing is left that could be named
			}
		}
		s.names[r.name] = r
		if r.Image != nil {
			s.images[r.Image.ID] = r.Image
		}
	}
	s.publish()
	return nil
}

// complete says whether everything an image needs is here. The compressed
// layers are not needed.
func (s *Store) complete(im *stored) bool {
	for _, l := range im.Layers {
		if s.layers[l.Key] == nil {
			return false
		}
	}
	_, manifest := s.blobs[im.Manifest]
	_, config := s.blobs[im.ID]
	return manifest && config
}

func (s *Store) clearStaging() error {
	entries, err := os.ReadDir(s.path("staging"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		s.discard(s.path("staging", e.Name()))
	}
	return nil
}

func (s *Store) readBlobs() error {
	entries, err := os.ReadDir(s.path("blobs", "sha256"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			if digest := "sha256:" + e.Name(); isDigest(digest) {
				s.blobs[digest] = info.Size()
			}
		}
	}
	return nil
}

func isDigest(s string) bool {
	_, err := hexOf(s)
	return err == nil
}

// Sweep removes what no record, container or pull reaches, and takes up the pulls
// that the last daemon's end interrupted. It is called once, when every container
// has been held; keep names further images without tags to keep (nil = none).
// Until then nothing is removed that might be a container's.
func (s *Store) Sweep(ctx context.Context, keep func(imageID string) bool) error {
	if err := s.lockChange(ctx); err != nil {
		return wrap("sweep", s.dir, err)
	}
	defer s.unlockChange()
	for _, r := range s.untagged() {
		if !s.tagged(r.Image.ID) && ((keep != nil && keep(r.Image.ID)) || s.held(r.Image.ID)) {
			continue
		}
		if err := s.removeRecord(r); err != nil {
			return wrap("sweep", s.dir, err)
		}
		s.mu.Lock()
		delete(s.names, r.name)
		s.mu.Unlock()
	}
	s.mu.Lock()
	s.swept = true
	s.publish()
	s.mu.Unlock()
	s.collect(0)
	if err := s.removeStrays(); err != nil {
		return wrap("sweep", s.dir, err)
	}
	return wrap("sweep", s.dir, s.takeUp())
}

// untagged are the records of images without tags.
func (s *Store) untagged() []*record {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*record
	for _, r := range s.names {
		if r.Reference == "" {
			list = append(list, r)
		}
	}
	return list
}

// tagged says whether a reference points to the image.
func (s *Store) tagged(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tagsOf(id)) > 0
}

// reach is what the roots lead to: records, and pulls under way.
type reach struct {
	images, layers, blobs, ingest map[string]bool
	partials                      bool // every partial blob: some pull does not know yet which it wants
	interrupted                   bool // all: such a pull may have been at its commit
}

// reachable is the one walk that decides what stays. The caller holds mu.
func (s *Store) reachable() reach {
	r := reach{images: map[string]bool{}, layers: map[string]bool{}, blobs: map[string]bool{}, ingest: map[string]bool{}}
	for name, rec := range s.names {
		if rec.Status == Pulling && s.pulls[name] == nil {
			r.partials, r.interrupted = true, true // it will be taken up
		}
		for _, digest := range rec.Wanted {
			r.ingest[digest] = true
		}
		if im := rec.Image; im != nil {
			r.images[im.ID] = true
			r.blobs[im.ID], r.blobs[im.Manifest] = true, true
			for _, l := range im.Layers {
				r.layers[l.Key], r.blobs[l.Blob] = true, true
			}
		}
	}
	for _, p := range s.pulls {
		if p.status == Waiting {
			r.partials = true
			r.interrupted = r.interrupted || p.takenUp
		}
		for _, digest := range p.wanted {
			r.ingest[digest], r.blobs[digest] = true, true
		}
		for key := range p.pins {
			r.layers[key] = true
		}
	}
	for digest := range s.fetches {
		r.ingest[digest] = true
	}
	return r
}

// collect removes what is not reachable, and returns the images that went. The
// caller holds the change lock. A removal that fails is tried again by the next
// Sweep.
func (s *Store) collect(by uint32) (lost []string) {
	s.mu.Lock()
	if !s.whole || !s.swept {
		s.mu.Unlock()
		return nil
	}
	r := s.reachable()
	var paths []string
	for id := range s.images {
		if !r.images[id] {
			lost = append(lost, id)
			delete(s.images, id)
		}
	}
	for key := range s.layers {
		if !r.interrupted && !r.layers[key] {
			paths = append(paths, s.path("layers", layerName(key)))
			delete(s.layers, key)
		}
	}
	for digest := range s.blobs {
		if !r.interrupted && !r.blobs[digest] {
			paths = append(paths, s.blobPath(digest))
			delete(s.blobs, digest)
		}
	}
	s.mu.Unlock()
	for _, path := range paths {
		s.discard(path)
	}
	s.dropPartials(r)
	for _, id := range lost {
		s.views.drop(id)
		s.parsed.drop(id)
		s.events.add(Event{Action: ActionDelete, ID: id, By: by})
	}
	return lost
}

// dropPartials removes from ingest/ what nobody will resume.
func (s *Store) dropPartials(r reach) {
	if r.partials {
		return
	}
	entries, err := os.ReadDir(s.path("ingest"))
	if err != nil {
		s.log.Error("partial blobs cannot be listed", "op", "sweep", "err", err)
		return
	}
	for _, e := range entries {
		if !r.ingest["sha256:"+e.Name()] {
			s.discard(s.path("ingest", e.Name()))
		}
	}
}

// removeStrays removes from layers/ and blobs/ what has no place there, as a
// crash between a rename and the record leaves it.
func (s *Store) removeStrays() error {
	if !s.whole {
		return nil
	}
	for _, dir := range []string{"layers", "blobs/sha256"} {
		entries, err := os.ReadDir(s.path(dir))
		if err != nil {
			return err
		}
		for _, e := range entries {
			digest := "sha256:" + e.Name()
			s.mu.Lock()
			_, isBlob := s.blobs[digest]
			known := e.Name() == emptyLayer || s.layers[digest] != nil || (isBlob && strings.HasPrefix(dir, "blobs"))
			s.mu.Unlock()
			if !known {
				s.discard(s.path(filepath.FromSlash(dir), e.Name()))
			}
		}
	}
	return nil
}

// dropBlob throws away a blob that turned out to be damaged, and says whether it
// did.
func (s *Store) dropBlob(ctx context.Context, digest string) bool {
	if s.lockChange(ctx) != nil {
		return false
	}
	defer s.unlockChange()
	s.mu.Lock()
	delete(s.blobs, digest)
	s.mu.Unlock()
	s.discard(s.blobPath(digest))
	return true
}

// maxTakeUps is how often a pull is taken up by itself: one that ends the daemon
// each time must not do so for ever.
const maxTakeUps = 3

// takeUp begins again the pulls that the last daemon's end interrupted. The
// caller holds the change lock.
func (s *Store) takeUp() error {
	s.mu.Lock()
	var interrupted []*record
	for name, r := range s.names {
		if r.Status == Pulling && s.pulls[name] == nil {
			interrupted = append(interrupted, r)
		}
	}
	s.mu.Unlock()
	for _, old := range interrupted {
		copied := *old
		r := &copied
		r.Tries++
		if r.Tries > maxTakeUps {
			r.Status, r.ErrorKind = Failed, Cancelled.String()
			if r.Image != nil {
				r.Status = Ready
			}
			r.Error = "cannot pull " + r.name + ": hull ended each time it tried; ask for it again if you want another try"
		}
		if err := s.writeRecord(r); err != nil {
			return err
		}
		ref, err := parse("pull", r.Reference)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.names[r.name] = r
		if r.Tries <= maxTakeUps && s.pulls[r.name] == nil && !s.closed {
			p := s.startPull(ref, PullOptions{By: r.By})
			p.accepted, p.takenUp = true, true
		}
		s.publish()
		s.mu.Unlock()
	}
	return nil
}
