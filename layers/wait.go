package layers

import (
	"context"
)

// Wait waits until the pull or push of a reference has ended and returns its
// failure. Without one under way, it tells how the last one ended.
func (s *Store) Wait(ctx context.Context, text string) error {
	name, err := s.nameOf("wait", text)
	if err != nil {
		return err
	}
	if ended, failure := s.underWay(name); ended != nil {
		select {
		case <-ended:
			return failure()
		case <-ctx.Done():
			return wrap("wait", name, ctx.Err())
		}
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

// underWay is the pull or push of a reference: when it has ended, and its failure
// then. It is nil, nil if there is none.
func (s *Store) underWay(name string) (ended <-chan struct{}, failure func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.pulls[name]; p != nil {
		return p.ended, func() error { return p.err }
	}
	if p := s.pushes[name]; p != nil {
		return p.ended, func() error { return p.err }
	}
	return nil, nil
}

// Cancel ends the pull or push of a reference and waits until it has. What has
// arrived is kept for the next attempt; without one under way nothing happens.
func (s *Store) Cancel(ctx context.Context, text string) error {
	name, err := s.nameOf("cancel", text)
	if err != nil {
		return err
	}
	s.mu.Lock()
	r, moves := s.names[name], s.pulls[name] != nil || s.pushes[name] != nil
	s.mu.Unlock()
	if r == nil && !moves {
		return failf("cancel", name, NotFound, "there is no such image here")
	}
	return s.end(ctx, name, context.Canceled)
}

// end cancels the pull or push of a reference, if there is one, and waits for its
// end.
func (s *Store) end(ctx context.Context, name string, cause error) error {
	ended, _ := s.underWay(name)
	if ended == nil {
		return nil
	}
	s.mu.Lock()
	if p := s.pulls[name]; p != nil {
		p.cancel(cause)
	}
	if p := s.pushes[name]; p != nil {
		p.cancel(cause)
	}
	s.mu.Unlock()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return wrap("cancel", name, ctx.Err())
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
