package layers

import (
	"context"
	"time"

	"hull/layers/reference"
)

// Tag makes target a reference to the image that source names. If target exists
// and points to another image, it is moved when move says so, else it is Exists.
// by is the uid of who asks.
func (s *Store) Tag(ctx context.Context, source, target string, move bool, by uint32) error {
	ref, err := parseTarget("tag", target)
	if err != nil {
		return err
	}
	if err := s.lockChange(ctx); err != nil {
		return wrap("tag", target, err)
	}
	defer s.unlockChange()
	st, from, err := s.sourceOf("tag", source)
	if err != nil {
		return err
	}
	if err := s.point(ref, st, from, move, by, s.privacyOf(st.ID)); err != nil {
		return wrap("tag", ref.Familiar(), err)
	}
	s.collect(by)
	return nil
}

// Rename gives an image's reference another name. The new one must be free. When
// it fails half way, the image has both.
func (s *Store) Rename(ctx context.Context, from, to string, by uint32) error {
	ref, err := parseTarget("rename", to)
	if err != nil {
		return err
	}
	if err := s.lockChange(ctx); err != nil {
		return wrap("rename", to, err)
	}
	defer s.unlockChange()
	name, isTag := s.snapshot.Load().exact(from)
	if !isTag {
		return failf("rename", from, NotFound, "there is no such tag here")
	}
	if name == ref.Familiar() {
		return nil
	}
	st, whence, err := s.sourceOf("rename", from)
	if err != nil {
		return err
	}
	s.mu.Lock()
	old, busy := s.names[name], s.busy(name)
	s.mu.Unlock()
	if busy != nil {
		return busy("rename")
	}
	if err := s.point(ref, st, whence, false, by, s.privacyOf(st.ID)); err != nil {
		return wrap("rename", ref.Familiar(), err)
	}
	if err := s.forget(old); err != nil {
		return wrap("rename", name, err)
	}
	s.events.add(Event{Action: ActionUntag, Reference: name, ID: st.ID, By: by})
	return nil
}

// busy is the error of whoever wants to change what a reference points to while it
// is being pulled or pushed; nil if it is not. The caller holds mu.
func (s *Store) busy(name string) func(op string) error {
	what := "pull"
	switch {
	case s.pulls[name] != nil:
	case s.pushes[name] != nil:
		what = "push"
	default:
		return nil
	}
	return func(op string) error {
		return failf(op, name, Busy, "it is being %sed; cancel the %s first, or wait for it", what, what)
	}
}

func parseTarget(op, target string) (reference.Reference, error) {
	ref, err := parse(op, target)
	if err == nil && ref.Digest != "" {
		err = failf(op, target, Invalid, "a new name is a tag, it cannot hold a digest")
	}
	return ref, err
}

// sourceOf is the image a name leads to, and where it comes from.
func (s *Store) sourceOf(op, name string) (*stored, origin, error) {
	st, err := s.findStored(op, name)
	if err != nil {
		return nil, origin{}, err
	}
	sn := s.snapshot.Load()
	im := sn.lookup(name)
	if im == nil || im.ID != st.ID {
		return nil, origin{}, failf(op, name, Removed, "it was removed meanwhile")
	}
	return st, sn.record[im].origin, nil
}

// point writes the record of a reference to an image. The caller holds the
// change lock.
func (s *Store) point(ref reference.Reference, st *stored, from origin, move bool, by uint32, private privacy) error {
	name := ref.Familiar()
	s.mu.Lock()
	old, busy := s.names[name], s.busy(name)
	s.mu.Unlock()
	switch {
	case busy != nil:
		return busy("tag")
	case old != nil && !move:
		return failf("tag", name, Exists, "there is an image of that name already; write 'tag' to the ctl of the other image to move the name")
	case old != nil && old.Image != nil && old.Image.ID == st.ID:
		return nil
	}
	if err := s.keepHeld(old, st.ID, true); err != nil {
		return err
	}
	r := (&record{Status: Ready, By: by, Made: time.Now().Round(0), origin: from, Image: st, privacy: private}).named(ref)
	if err := s.writeRecord(r); err != nil {
		return err
	}
	s.mu.Lock()
	s.names[name] = r
	s.images[st.ID] = st
	s.publish()
	s.mu.Unlock()
	s.dropUntagged(st.ID)
	s.events.add(Event{Action: ActionTagged, Reference: name, ID: st.ID, By: by})
	return nil
}
