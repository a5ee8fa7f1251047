package layers

import (
	"os"
)

// load reads what the directory holds into memory.
func (s *Store) load() error {
	// Nothing of an earlier daemon's unpacking is of use: only what is verified
	// counts, and it is not known what is.
	if err := s.clearStaging(); err != nil {
		return err
	}
	if err := s.clearIngest(); err != nil {
		return err
	}
	if err := s.readLayers(); err != nil {
		return err
	}
	if err := s.readBlobs(); err != nil {
		return err
	}
	records, damaged, err := s.readRecords()
	if err != nil {
		return err
	}
	for _, r := range records {
		s.recollect(r)
	}
	for _, file := range damaged { // after those that say who may look at an image
		if r := s.rebuild(file, nil); r != nil {
			s.recollect(r)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.whole = len(damaged) == 0
	s.publish()
	return nil
}

func (s *Store) recollect(r *record) {
	if !s.remember(r) {
		s.log.Warn("an image in the store is not whole any more", "image", r.name)
	}
}

// complete says whether everything an image needs is here. The compressed
// layers are not needed.
func (s *Store) complete(im *stored) bool {
	return s.missing(im) == ""
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

// clearIngest removes what no fetch can go on with.
func (s *Store) clearIngest() error {
	entries, err := os.ReadDir(s.path("ingest"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			s.discard(s.path("ingest", e.Name()))
		}
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
