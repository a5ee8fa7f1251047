package layers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// RemoveResult is what a removal did, in Docker's words.
type RemoveResult struct {
	Untagged []string // familiar references
	Deleted  []string // IDs of the images that went
}

// Remove removes what a name means, by Docker's rules. A reference loses that
// tag, and with its last tag the image goes with the layers nobody else uses;
// that is Busy if it would take the image from containers, unless forced: then
// they keep its layers. A pull under way is cancelled, a failed one dropped. An
// ID is Busy while several tags point to it, unless forced. A repository@digest
// that is no reference of its own, but what a tag points to, is always Busy: the
// tag is what has to be removed.
func (s *Store) Remove(ctx context.Context, name string, force bool, by uint32) (RemoveResult, error) {
	sn := s.snapshot.Load()
	if exact, isTag := sn.exact(name); isTag {
		return s.removeNames(ctx, []string{exact}, force, by)
	}
	im := sn.lookup(name)
	switch {
	case im == nil:
		return RemoveResult{}, failf("remove", name, NotFound, "there is no such image here")
	case strings.Contains(name, "@"):
		return RemoveResult{}, failf("remove", name, Busy, "it is no name of its own but what %s points to; remove that", strings.Join(sn.aliased(name), ", "))
	case len(im.Tags) > 1 && !force:
		return RemoveResult{}, failf("remove", name, Busy, "several tags point to this image (%s); remove those, or force it",
			strings.Join(im.Tags, ", "))
	case len(im.Tags) == 0:
		return s.removeNames(ctx, []string{im.ID}, force, by)
	}
	return s.removeNames(ctx, im.Tags, force, by)
}

// Untag is Remove without force.
func (s *Store) Untag(ctx context.Context, name string, by uint32) (RemoveResult, error) {
	return s.Remove(ctx, name, false, by)
}

// removeNames removes records. Their pulls are ended first, outside the lock
// that the pulls' ends need; a pull that somebody begins in between is ended as
// well.
func (s *Store) removeNames(ctx context.Context, names []string, force bool, by uint32) (RemoveResult, error) {
	for {
		if err := s.mayRemove(names, force); err != nil {
			return RemoveResult{}, err
		}
		if err := s.endPulls(ctx, names); err != nil {
			return RemoveResult{}, err
		}
		if err := s.lockChange(ctx); err != nil {
			return RemoveResult{}, wrap("remove", names[0], err)
		}
		if s.anyPull(names) {
			s.unlockChange()
			continue
		}
		defer s.unlockChange()
		if err := s.mayRemove(names, force); err != nil {
			return RemoveResult{}, err
		}
		return s.removeRecords(names, by)
	}
}

// mayRemove says why not, if containers keep an image that would lose its last
// tag.
func (s *Store) mayRemove(names []string, force bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		r := s.names[name]
		if r == nil || r.all() == nil || len(s.holders[r.all().ID]) == 0 {
			continue
		}
		id := r.all().ID
		why := "%s; remove that first, or force it, and the layers stay for the container"
		switch {
		case r.Reference == "": // there is no tag that force could take away
			why = "%s, and it has no tag to lose; it goes with its last container"
		case force, len(s.tagsOf(id)) > len(names):
			continue
		}
		holders := slices.Sorted(maps.Keys(s.holders[id]))
		e := failf("remove", name, Busy, why, usedBy(holders))
		e.Holders = holders
		return e
	}
	return nil
}

func usedBy(holders []string) string {
	first := holders[0]
	first = first[:min(len(first), 12)]
	if n := len(holders) - 1; n > 0 {
		return fmt.Sprintf("the container %s and %d more are made of it", first, n)
	}
	return fmt.Sprintf("the container %s is made of it", first)
}

func (s *Store) endPulls(ctx context.Context, names []string) error {
	for _, name := range names {
		if err := end(ctx, name, s.underWay(name, false), errDropped); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) anyPull(names []string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		if s.pulls[name] != nil || s.pushes[name] != nil {
			return true
		}
	}
	return false
}

// removeRecords removes them one by one: a failure leaves the rest. The caller
// holds the change lock.
func (s *Store) removeRecords(names []string, by uint32) (result RemoveResult, err error) {
	defer func() {
		result.Deleted = s.collect(by)
	}()
	for _, name := range names {
		s.mu.Lock()
		r := s.names[name]
		s.mu.Unlock()
		if r == nil {
			return result, failf("remove", name, NotFound, "there is no such image here")
		}
		if err := s.keepHeld(r, "", false); err != nil {
			return result, wrap("remove", name, err)
		}
		if err := s.forget(r); err != nil {
			return result, wrap("remove", name, err)
		}
		if r.Reference != "" {
			result.Untagged = append(result.Untagged, name)
			e := Event{Action: ActionUntag, Reference: name, By: by}
			if r.Image != nil {
				e.ID = r.Image.ID
			}
			s.events.add(e)
		}
	}
	return result, nil
}
