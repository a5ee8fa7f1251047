package layers

import (
	"context"
	"slices"
)

// Wait waits until the pull or push of a reference has ended, or a push to another
// name that was asked for by it, and returns its failure. Without one under way, it tells how the last one ended.
func (s *Store) Wait(ctx context.Context, text string) error {
	name, err := s.nameOf("wait", text)
	if err != nil {
		return err
	}
	if all := s.underWay(name, true); len(all) > 0 {
		return wait(ctx, "wait", name, all)
	}
	// Read after that: the record has the failure of one that has just ended.
	s.mu.Lock()
	r := s.names[name]
	s.mu.Unlock()
	switch {
	case r == nil:
		return failf("wait", name, NotFound, "there is no such image here")
	case r.Error != "":
		return &Error{Op: "pull", Name: name, Kind: kindNamed(r.ErrorKind), Err: &sentence{r.Error}}
	}
	return nil
}

// underWay are the pull or push of a reference and, if those count too, the pushes to
// other names that were asked for by it.
func (s *Store) underWay(name string, through bool) []*pull {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*pull
	if p := s.pulls[name]; p != nil {
		all = append(all, p)
	}
	for to, p := range s.pushes {
		if to == name || through && slices.Contains(p.through, name) {
			all = append(all, p.pull)
		}
	}
	return all
}

// wait waits until all of them have ended, and returns the first failure.
func wait(ctx context.Context, op, name string, all []*pull) error {
	var first error
	for _, p := range all {
		select {
		case <-p.ended:
			if first == nil {
				first = p.err
			}
		case <-ctx.Done():
			return wrap(op, name, ctx.Err())
		}
	}
	return first
}

// Cancel ends what Wait waits for, and waits until it has. What has
// arrived is kept for the next attempt; without one under way nothing happens.
func (s *Store) Cancel(ctx context.Context, text string) error {
	name, err := s.nameOf("cancel", text)
	if err != nil {
		return err
	}
	all := s.underWay(name, true)
	s.mu.Lock()
	r := s.names[name]
	s.mu.Unlock()
	if r == nil && len(all) == 0 {
		return failf("cancel", name, NotFound, "there is no such image here")
	}
	return end(ctx, name, all, context.Canceled)
}

// end cancels pulls and pushes, and waits for their ends.
func end(ctx context.Context, name string, all []*pull, cause error) error {
	for _, p := range all {
		p.cancel(cause)
	}
	_ = wait(ctx, "cancel", name, all) // how they ended they tell themselves
	return wrap("cancel", name, ctx.Err())
}

// nameOf is the familiar name a text means, by way of an ID if need be.
func (s *Store) nameOf(op, text string) (string, error) {
	if im := s.snapshot.Load().lookup(text); im != nil && im.Reference != "" {
		return im.Reference, nil
	}
	ref, err := parse(op, text)
	return ref.Familiar(), err
}

// Transfer is how far one layer of a pull or push is.
type Transfer struct {
	Layer       string // as it is called in Progress
	Phase       string // "Downloading", "Pushing"
	Done, Total int64  // bytes
}

// Transfers are the layers of a pull or push that are on their way at this moment.
func (s *Store) Transfers(name string) []Transfer {
	s.mu.Lock()
	p, q := s.pulls[name], s.pushes[name]
	s.mu.Unlock()
	switch {
	case p != nil:
		return p.transfers()
	case q != nil:
		return q.transfers()
	}
	return nil
}

// Progress is the text of the last pull or push of an image since the store was opened.
func (s *Store) Progress(text string) (*Progress, bool) {
	name, err := s.nameOf("progress", text)
	if err != nil {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.recent[name]
	return p, p != nil
}
