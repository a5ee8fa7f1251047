package layers

import (
	"context"
)

// Wait waits until the pull of a reference has ended and returns its failure.
// Without a pull under way, it tells how the last one ended.
func (s *Store) Wait(ctx context.Context, text string) error {
	name, err := s.nameOf("wait", text)
	if err != nil {
		return err
	}
	s.mu.Lock()
	p, r := s.pulls[name], s.names[name]
	s.mu.Unlock()
	if p != nil {
		select {
		case <-p.ended:
			return p.err
		case <-ctx.Done():
			return wrap("wait", name, ctx.Err())
		}
	}
	switch {
	case r == nil:
		return failf("wait", name, NotFound, "there is no such image here")
	case r.Error != "":
		return &Error{Op: "pull", Name: name, Kind: kindNamed(r.ErrorKind), Err: &sentence{r.Error}}
	}
	return nil
}

// Cancel ends the pull of a reference and waits until it has. What has arrived
// is kept for the next attempt; without a pull under way nothing happens.
func (s *Store) Cancel(ctx context.Context, text string) error {
	name, err := s.nameOf("cancel", text)
	if err != nil {
		return err
	}
	s.mu.Lock()
	p, r := s.pulls[name], s.names[name]
	s.mu.Unlock()
	if p == nil {
		if r == nil {
			return failf("cancel", name, NotFound, "there is no such image here")
		}
		return nil
	}
	return s.endPull(ctx, p, context.Canceled)
}

// endPull cancels a pull and waits for its end.
func (s *Store) endPull(ctx context.Context, p *pull, cause error) error {
	p.cancel(cause)
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		return wrap("cancel", p.name, ctx.Err())
	}
}

// nameOf is the familiar name a text means, by way of an ID if need be.
func (s *Store) nameOf(op, text string) (string, error) {
	if im := s.snapshot.Load().lookup(text); im != nil && im.Reference != "" {
		return im.Reference, nil
	}
	ref, err := parse(op, text)
	return ref.Familiar(), err
}

// Progress is the text of the last pull of an image since the store was opened.
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
