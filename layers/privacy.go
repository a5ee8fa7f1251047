package layers

import (
	"context"
	"slices"
	"sync/atomic"

	"hull/layers/registry"
)

// privacy says who may look at an image: one that was pulled with somebody's login
// is not for everybody on this machine. It belongs to a reference, because what
// somebody else has pulled without a login is public whatever its layers; names that
// an image is given here have what it had.
type privacy struct {
	Private bool   `json:"private,omitempty"`
	Reader  uint32 `json:"reader,omitempty"` // uid whose login it was
}

// privacyOf is what an image has that is here already: public if any reference to it
// is. The caller does not hold mu.
func (s *Store) privacyOf(id string) (p privacy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := append(s.tagsOf(id), id)
	slices.Sort(names)
	for _, name := range names {
		r := s.names[name]
		switch {
		case r == nil || r.Image == nil:
		case !r.Private:
			return privacy{}
		case !p.Private:
			p = r.privacy
		}
	}
	return p
}

// outcome is what a pull that has ended makes of its reference. Root reads all, so a
// pull of root's takes nothing from whose login brought the same image before.
func (p *pull) outcome(old *record, id string) privacy {
	switch {
	case !p.login.Load():
		return privacy{}
	case p.by == 0 && old != nil && old.Private && old.Image != nil && old.Image.ID == id:
		return old.privacy
	}
	return privacy{Private: true, Reader: p.by}
}

// noticed is a keychain that tells whether a registry has been given something of it.
type noticed struct {
	registry.Keychain
	used *atomic.Bool
}

// Credential makes it a registry.Keychain.
func (k noticed) Credential(ctx context.Context, domain string) (registry.Credential, error) {
	c, err := k.Keychain.Credential(ctx, domain)
	if err == nil && c != (registry.Credential{}) {
		k.used.Store(true)
	}
	return c, err
}
