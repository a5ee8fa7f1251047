package layers

import (
	"maps"
	"os"
	"slices"
	"time"
)

// Hold keeps an image for a container: its layers stay as long as the container
// is there, also when the image has lost its last tag. Holds live in memory; the
// engine holds again for every container when it starts, before Sweep.
func (s *Store) Hold(imageID, containerID string) error {
	s.mu.Lock()
	missing := s.images[imageID] == nil && !s.lost(imageID) && !s.swept
	s.mu.Unlock()
	if missing {
		s.rescue(imageID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.images[imageID] == nil && !s.lost(imageID) && s.whole { // else it may be that of a record that cannot be read
		return failf("hold", imageID, NotFound, "the image is not in the store any more")
	}
	if s.holders[imageID] == nil {
		s.holders[imageID] = map[string]struct{}{}
	}
	s.holders[imageID][containerID] = struct{}{}
	if s.images[imageID] == nil { // it is kept nevertheless, until it is repaired
		return failf("hold", imageID, Corrupt, "parts of the image are missing in the store; write repair to hull's ctl")
	}
	return nil
}

// rescue puts an image on record by its ID that a container is made of and that no
// record speaks of: its own was damaged or removed by somebody else's hand.
func (s *Store) rescue(id string) {
	if !s.hasBlob(id) {
		return
	}
	images := s.nameless()
	i := slices.IndexFunc(images, func(st *stored) bool { return st.ID == id })
	if i < 0 {
		return
	}
	s.change <- struct{}{} // not for long: nothing goes on before Sweep
	defer s.unlockChange()
	s.log.Warn("an image that a container is made of is in no record; it is kept by its ID", "image", id)
	r := &record{name: id, Status: Ready, Made: time.Now().Round(0), origin: origin{Digest: images[i].Manifest}, Image: images[i], privacy: privacy{Private: true}, rebuilt: true}
	_, err := os.Lstat(s.path("images", id+".json"))
	r.Kept = err == nil // it had one of its own, not only a name's
	if err := s.enter(r); err != nil {
		s.log.Error("the image has no record, and may go before its containers", "image", id, "op", "hold", "err", err)
	}
}

// described are all images that are known of, whole or not. The caller holds mu.
func (s *Store) described() []*stored {
	list := make([]*stored, 0, len(s.images))
	for _, im := range s.images {
		list = append(list, im)
	}
	for _, r := range s.names {
		if r.Lost != nil {
			list = append(list, r.Lost)
		}
	}
	return list
}

// lost says whether what is left of an image waits for a repair. The caller holds mu.
func (s *Store) lost(id string) bool {
	for _, r := range s.names {
		if r.Lost != nil && r.Lost.ID == id {
			return true
		}
	}
	return false
}

// Release takes a hold back. An image without tags goes with its last hold, in
// the background.
func (s *Store) Release(imageID, containerID string) {
	s.mu.Lock()
	delete(s.holders[imageID], containerID)
	last := len(s.holders[imageID]) == 0
	if last {
		delete(s.holders, imageID)
	}
	s.mu.Unlock()
	if last {
		s.unheld(imageID)
	}
}

// Linger lets the images of these containers outlast them, also those without tags,
// until end is called: Prune can then say of them that they go.
func (s *Store) Linger(containers []string) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for id, holders := range s.holders {
		if slices.ContainsFunc(containers, func(c string) bool { _, ok := holders[c]; return ok }) {
			ids = append(ids, id)
			s.lingers[id]++
		}
	}
	return func() {
		s.mu.Lock()
		for _, id := range ids {
			if s.lingers[id]--; s.lingers[id] == 0 {
				delete(s.lingers, id)
			}
		}
		s.mu.Unlock()
		for _, id := range ids {
			s.unheld(id)
		}
	}
}

// unheld removes an image in the background if it has no tags and nobody keeps it.
func (s *Store) unheld(id string) {
	s.mu.Lock()
	r := s.names[id]
	goes := r != nil && r.Reference == "" && !r.Kept && len(s.holders[id]) == 0 && s.lingers[id] == 0
	s.mu.Unlock()
	if goes {
		s.goDo(func() { s.dropUnheld(id) })
	}
}

// dropUnheld removes an image without tags that no container keeps any more. If
// that fails, the next Sweep does it.
func (s *Store) dropUnheld(imageID string) {
	if s.lockChange(s.ctx) != nil {
		return
	}
	defer s.unlockChange()
	s.mu.Lock()
	r := s.names[imageID]
	held := len(s.holders[imageID]) > 0 || s.lingers[imageID] > 0
	s.mu.Unlock()
	if r == nil || r.Kept || held {
		return
	}
	if err := s.forget(r); err != nil {
		s.log.Warn("an image that nobody needs could not be removed", "image", imageID, "op", "remove", "err", err)
		return
	}
	s.collect(0)
}

// held says whether a container keeps the image.
func (s *Store) held(imageID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.holders[imageID]) > 0
}

// Holders are the containers that keep an image, by its ID: sorted.
func (s *Store) Holders(imageID string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.holders[imageID]))
}

// forget takes a record off the disk and out of memory. The caller holds the
// change lock and calls collect afterwards.
func (s *Store) forget(r *record) error {
	if err := s.removeRecord(r); err != nil {
		return err
	}
	s.crash("remove.record")
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.names, r.name)
	if s.pulls[r.name] == nil {
		delete(s.recent, r.name)
	}
	s.publish()
	return nil
}

// keepHeld puts an image on record by its ID if a reference is about to leave
// it that is its last one, and containers keep it. newID is what the reference
// will point to. The caller holds the change lock.
//
// With always it is kept without containers too: a tag that moves on leaves its
// old image behind, as with Docker, until that is removed or pruned.
func (s *Store) keepHeld(old *record, newID string, always bool) error {
	if old == nil || old.Image == nil || old.Image.ID == newID || old.Reference == "" {
		return nil
	}
	id := old.Image.ID
	s.mu.Lock()
	// Before Sweep it is not known yet which images containers keep.
	need := (always || len(s.holders[id]) > 0 || !s.swept) && s.names[id] == nil && len(s.tagsOf(id)) == 1
	s.mu.Unlock()
	if !need {
		return nil
	}
	r := &record{name: id, Status: Ready, By: old.By, Made: old.Made, origin: old.origin, Image: old.Image, Kept: always, privacy: old.privacy}
	if err := s.writeRecord(r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names[id] = r
	s.publish()
	return nil
}

// tagsOf are the names of the references to an image. The caller holds mu.
func (s *Store) tagsOf(id string) []string {
	var names []string
	for name, r := range s.names {
		if r.Image != nil && r.Image.ID == id && r.Reference != "" {
			names = append(names, name)
		}
	}
	return names
}

// dropUntagged removes the record of an image without tags that has a tag again.
// If that fails, the next Sweep does it. The caller holds the change lock.
func (s *Store) dropUntagged(id string) {
	s.mu.Lock()
	r := s.names[id]
	delete(s.names, id)
	s.publish()
	s.mu.Unlock()
	if r == nil {
		return
	}
	if err := s.removeRecord(r); err != nil {
		s.log.Warn("a record that is not needed any more could not be removed", "image", id, "op", "remove", "err", err)
	}
}
