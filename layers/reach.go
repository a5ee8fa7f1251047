package layers

import (
	"context"
	"os"
)

// tagged are the IDs of the images that references point to.
func (s *Store) tagged() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make(map[string]bool, len(s.names))
	for _, r := range s.names {
		if r.Reference != "" && r.Image != nil {
			ids[r.Image.ID] = true
		}
	}
	return ids
}

// reach is what the roots lead to: records, and pulls under way.
type reach struct {
	images, layers, blobs, ingest map[string]bool
	partials                      bool // every partial blob: some pull does not know yet which it wants
	interrupted                   bool // all: such a pull may have been at its commit
}

// reachable is the one walk that decides what stays, or would stay without some
// records. The caller holds mu.
func (s *Store) reachable(without map[string]bool) reach {
	r := reach{images: map[string]bool{}, layers: map[string]bool{}, blobs: map[string]bool{}, ingest: map[string]bool{}}
	for name, rec := range s.names {
		if without[name] {
			continue
		}
		if rec.Status == Pulling && s.pulls[name] == nil {
			r.partials, r.interrupted = true, true // it will be taken up
		}
		for _, digest := range rec.Wanted {
			r.ingest[digest] = true
		}
		if rec.Image != nil {
			r.images[rec.Image.ID] = true
		}
		if im := rec.all(); im != nil {
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
	for p := range s.arrivals {
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
	r := s.reachable(nil)
	var paths, swept []string
	for id := range s.images {
		if !r.images[id] {
			lost = append(lost, id)
			delete(s.images, id)
		}
	}
	for key := range s.layers {
		if !r.interrupted && !r.layers[key] {
			paths, swept = append(paths, s.path("layers", layerName(key))), append(swept, key)
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
	for _, key := range swept {
		s.events.add(Event{Action: actionSwept, ID: key})
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
