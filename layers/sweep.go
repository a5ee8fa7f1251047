package layers

import (
	"context"
	"os"
	"path/filepath"

	"hull/layers/registry"
)

// Sweep removes what no record, container or pull reaches, and takes up the pulls
// that the last daemon's end interrupted. It is called once, when every container
// has been held; keep names further images without tags to keep (nil = none).
// Until then nothing is removed that might be a container's.
func (s *Store) Sweep(ctx context.Context, keep func(imageID string) bool) error {
	if err := s.lockChange(ctx); err != nil {
		return wrap("sweep", s.dir, err)
	}
	defer s.unlockChange()
	tagged := s.tagged()
	for _, r := range s.untagged() {
		if id := r.all().ID; !tagged[id] && (r.Kept || (keep != nil && keep(id)) || s.held(id)) {
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
	return wrap("sweep", s.dir, s.takeUp()) //nolint:contextcheck // the pulls outlive the caller
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
			if !s.isKnown(dir, e.Name()) {
				s.discard(s.path(filepath.FromSlash(dir), e.Name()))
			}
		}
	}
	return nil
}

// maxTakeUps is how often a pull or push is taken up by itself: one that ends the daemon
// each time must not do so for ever.
const maxTakeUps = 3

// loginsOf are the credentials of who had asked for a pull, which no record holds:
// they are asked for where that user keeps them, when a registry wants them.
func (s *Store) loginsOf(uid uint32) registry.Keychain {
	if s.o.Logins == nil {
		return nil
	}
	return s.o.Logins(uid)
}

// takeUp begins again the pulls and pushes that the last daemon's end interrupted.
// The caller holds the change lock.
func (s *Store) takeUp() error {
	s.mu.Lock()
	var interrupted, pushes []*record
	for name, r := range s.names {
		switch {
		case r.Status == Pulling && s.pulls[name] == nil:
			interrupted = append(interrupted, r)
		case r.Push != nil && s.pushes[name] == nil:
			pushes = append(pushes, r)
		}
	}
	s.mu.Unlock()
	for _, r := range pushes {
		if err := s.takeUpPush(r); err != nil {
			return err
		}
	}
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
			p := s.startPull(ref, PullOptions{By: r.By, Keychain: s.loginsOf(r.By), Platform: r.Asked})
			p.accepted, p.takenUp, p.wished = true, true, true
		}
		s.publish()
		s.mu.Unlock()
	}
	return nil
}

// takeUpPush begins a push again, or gives it up with a reason. The caller holds the
// change lock.
func (s *Store) takeUpPush(old *record) error {
	ref, err := parse("push", old.Reference)
	if err != nil {
		return err
	}
	if old.Tries < maxTakeUps && old.Image != nil {
		return s.beginPush(ref, PushOptions{By: old.Push.By, Keychain: s.loginsOf(old.Push.By), Through: old.Push.Through}, old.Tries+1)
	}
	copied := *old
	r := &copied
	r.Push, r.Tries, r.ErrorKind = nil, 0, Cancelled.String()
	r.Error = "cannot push " + r.name + ": hull ended each time it tried; ask for it again if you want another try"
	if err := s.writeRecord(r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names[r.name] = r
	s.publish()
	return nil
}
