package layers

import (
	"context"

	"hull/layers/reference"
)

// Pulls under way: who asks for one joins it, and the last who leaves ends it.

// joinInTurn is joinPull, which waits for pulls for other platforms if it has the time.
func (s *Store) joinInTurn(ctx context.Context, ref reference.Reference, o PullOptions) (*pull, error) {
	for {
		p, other, err := s.joinPull(ref, o) //nolint:contextcheck // it outlives this caller
		switch {
		case other == nil:
			return p, err
		case !o.Patient:
			return nil, failf("pull", ref.Familiar(), Busy, "it is being pulled for %s; cancel that first, or wait for it", s.named(other.asked))
		}
		select {
		case <-other.ended:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// joinPull finds the pull of a reference, or begins it, unless there is another for
// another platform.
func (s *Store) joinPull(ref reference.Reference, o PullOptions) (p, other *pull, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p = s.pulls[ref.Familiar()]
	switch {
	case p != nil && p.asked != o.Platform:
		return nil, p, nil
	case p != nil:
	case s.pushes[ref.Familiar()] != nil:
		return nil, nil, failf("pull", ref.Familiar(), Busy, "it is being pushed; cancel the push first, or wait for it")
	case s.closed:
		return nil, nil, failf("pull", ref.Familiar(), Cancelled, "%w", errClosed)
	default:
		p = s.startPull(ref, o)
	}
	p.callers++
	p.attend(o.Attend)
	return p, nil, nil
}

// startPull begins a pull. The caller holds mu.
func (s *Store) startPull(ref reference.Reference, o PullOptions) *pull {
	p := &pull{
		op: "pull", name: ref.Familiar(), ref: ref, by: o.By, asked: o.Platform, client: s.client, status: Waiting,
		progress: newProgress(), slots: make(chan struct{}, s.o.Downloads),
		resolved: make(chan struct{}), ended: make(chan struct{}), pins: map[string]bool{},
	}
	if o.Keychain == nil {
		o.Keychain = s.o.Keychain
	}
	if o.Keychain != nil {
		p.client = s.client.With(noticed{o.Keychain, &p.login})
	}
	if p.asked != "" {
		p.client = p.client.For(s.platformOf(p.asked))
	}
	p.ctx, p.cancel = context.WithCancelCause(s.ctx)
	s.pulls[p.name] = p
	s.recent[p.name] = p.progress
	if r := s.names[p.name]; r != nil {
		p.wanted = r.Wanted
		s.publish()
	}
	s.work.Go(func() { s.runPull(p) })
	return p
}

// leavePull undoes a pull that was not accepted and whose last caller goes.
func (s *Store) leavePull(p *pull) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.callers--
	if p.callers == 0 && !p.accepted && !p.over {
		p.cancel(context.Canceled)
	}
}
