package layers

import (
	"maps"
	"os"
	"time"

	"hull/layers/internal/sys"
	"hull/layers/registry"
)

// commit makes what a pull has brought durable, puts it in its place, and writes
// the record last. Without a disk to sync, nothing new has come.
func (s *Store) commit(p *pull, image *registry.Image, st *stored, parts []*part, disk *os.File, outcome string) error {
	var documents map[string]string
	if disk != nil {
		var err error
		documents, err = s.harden(p, image, parts, disk)
		defer s.dropDocuments(documents)
		if err != nil {
			return err
		}
	}
	if err := s.lockChange(p.ctx); err != nil {
		return err
	}
	defer s.unlockChange()
	st, err := s.settle(p, st, parts, documents)
	if err != nil {
		return err
	}
	s.mu.Lock()
	old := s.names[p.name]
	s.mu.Unlock()
	r := (&record{Status: Ready, By: p.by, Made: time.Now().Round(0), origin: s.originOf(p, image.Digest, st), Image: st, privacy: p.outcome(old, st.ID)}).named(p.ref)
	if old != nil {
		r.Made = old.Made
		if err := s.keepHeld(old, st.ID, true); err != nil {
			return err
		}
	}
	if err := s.writeRecord(r); err != nil {
		return err
	}
	p.progress.line("Digest: %s", image.Digest)
	p.progress.line("Status: %s for %s", outcome, p.name)
	s.mu.Lock()
	s.names[p.name] = r
	s.images[st.ID] = st
	p.over = true
	delete(s.pulls, p.name)
	s.publish()
	s.mu.Unlock()
	s.dropUntagged(st.ID)
	if err := s.regainedLocked(st); err != nil {
		s.log.Warn("another name of an image that is whole again could not be recorded", "image", p.name, "op", "pull", "err", err)
	}
	s.events.add(Event{Action: ActionPulled, Reference: p.name, ID: st.ID, By: p.by})
	s.collect(p.by)
	return nil
}

// harden makes durable what has come for an image, by way of a syncfs of the disk. It
// returns where the documents lie, and what other blobs came in files of their own,
// until they are in their places; drop them then.
func (s *Store) harden(p *pull, image *registry.Image, parts []*part, disk *os.File) (documents map[string]string, err error) {
	documents, err = s.stageDocuments(image)
	if err == nil {
		err = s.addFiles(p, parts, documents)
	}
	if err == nil {
		err = sys.Syncfs(disk)
	}
	if err == nil {
		s.crash("pull.synced")
	}
	return documents, err
}

// settle puts what is durable in its place, and returns the image's description as its
// record, which is to be written next, has it. The caller holds the change lock.
func (s *Store) settle(p *pull, st *stored, parts []*part, documents map[string]string) (*stored, error) {
	// Blobs first: a layer that is in its place is not fetched again when a crash
	// comes between, so its blob would be missing for ever.
	if err := s.placeBlobs(parts, documents); err != nil {
		return nil, err
	}
	if err := s.placeLayers(st, parts); err != nil {
		return nil, err
	}
	s.crash("pull.placed")
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sized(st.sourced(p.ref, s.images[st.ID])), nil
}

// stageDocuments writes the manifest and the config where settle takes them
// from; the syncfs covers them.
func (s *Store) stageDocuments(image *registry.Image) (map[string]string, error) {
	staged := map[string]string{}
	for digest, content := range map[string][]byte{image.ManifestDigest: image.Manifest, image.ConfigDigest: image.Config} {
		f, err := os.CreateTemp(s.path("staging"), "document-")
		if err != nil {
			return staged, err
		}
		staged[digest] = f.Name()
		_, err = f.Write(content)
		if e := f.Close(); err == nil {
			err = e
		}
		if err != nil {
			return staged, err
		}
	}
	return staged, nil
}

// dropDocuments removes those that settle has not taken.
func (s *Store) dropDocuments(staged map[string]string) {
	for _, path := range staged {
		_ = os.Remove(path) // staging/ is emptied at the next start anyway
	}
}

// placeLayers renames the layers from staging/ to layers/. Another pull may have
// done so with some meanwhile. The caller holds the change lock.
func (s *Store) placeLayers(st *stored, parts []*part) error {
	placed := false
	for _, pt := range parts {
		st.Layers[pt.index].Key = pt.key
		s.mu.Lock()
		have := s.layers[pt.key] != nil
		s.mu.Unlock()
		if have || pt.from == nil {
			continue
		}
		target := s.path("layers", layerName(pt.key))
		s.discard(target) // what has no record is in the way after a crash
		if err := os.Rename(pt.from.dir, target); err != nil {
			return err
		}
		pt.from.committed, placed = true, true
		s.crash("layer.placed")
		made := s.layerMade(pt.key)
		s.mu.Lock()
		pt.from.record.made = made
		s.layers[pt.key] = pt.from.record
		s.mu.Unlock()
	}
	if !placed {
		return nil
	}
	return s.syncDir("layers")
}

// placeBlobs moves what a pull has verified to blobs/: the documents, and the
// blobs of the layers it has unpacked. (A layer that was here has no blob to
// place: what ingest/ may hold of it is not verified.) The caller holds the
// change lock.
func (s *Store) placeBlobs(parts []*part, documents map[string]string) error {
	arrived := map[string]string{}
	maps.Copy(arrived, documents)
	for _, pt := range parts {
		// One that another pull unpacked may have come out of another blob.
		if pt.from == nil || pt.from.fetch.Load() == nil || pt.from.layer.Digest != pt.layer.Digest {
			continue
		}
		path, err := s.ingestPath(pt.layer.Digest)
		if err != nil {
			return err
		}
		arrived[pt.layer.Digest] = path
	}
	placed := false
	for digest, path := range arrived {
		s.mu.Lock()
		_, have := s.blobs[digest]
		s.mu.Unlock()
		if have {
			continue
		}
		if err := s.placeBlob(digest, path); err != nil {
			return err
		}
		placed = true
	}
	if !placed {
		return nil
	}
	return s.syncDir("blobs/sha256")
}

func (s *Store) placeBlob(digest, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	target := s.blobPath(digest)
	s.clear(target)
	if err := os.Rename(path, target); err != nil {
		return err
	}
	s.crash("blob.placed")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[digest] = info.Size()
	return nil
}

// blobPath is where a committed blob lies. Its digest has been checked when it
// came into the maps.
func (s *Store) blobPath(digest string) string {
	return s.path("blobs", "sha256", digest[len("sha256:"):])
}
