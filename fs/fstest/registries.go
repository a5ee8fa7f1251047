package fstest

import (
	"context"
	"maps"
	"strings"

	"hull/fs"
)

type registry struct {
	fs.Registry
	settings map[string]string
}

// Password is the one password that every registry of the fake accepts.
const Password = "open sesame"

// Registries is the fake as the tree's registries.
func (f *Fake) Registries() fs.Registries { return fakeRegistries{f} }

type fakeRegistries struct{ f *Fake }

func (s fakeRegistries) List() []*fs.Registry {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	var l []*fs.Registry
	for _, r := range sorted(s.f.registries) {
		shown := r.Registry
		l = append(l, &shown)
	}
	return l
}

func (s fakeRegistries) Find(domain string) (*fs.Registry, bool) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	r := s.f.registries[domain]
	if r == nil {
		return nil, false
	}
	shown := r.Registry
	return &shown, true
}

func (s fakeRegistries) Add(_ context.Context, domain string) (*fs.Registry, error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	switch {
	case !strings.ContainsAny(domain, ".:") && domain != "localhost":
		return nil, wrong(fs.Invalid, "add", "registries/"+domain, "%q is no registry.", domain)
	case s.f.registries[domain] != nil:
		return nil, wrong(fs.Exists, "add", "registries/"+domain, "The registry %s is known.", domain)
	}
	r := &registry{Registry: fs.Registry{Domain: domain, Made: now()}, settings: map[string]string{}}
	s.f.registries[domain] = r
	shown := r.Registry
	return &shown, nil
}

func (s fakeRegistries) Remove(_ context.Context, domain string) error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	switch {
	case domain == "docker.io":
		return wrong(fs.Forbidden, "remove", "registries/"+domain, "The registry docker.io stays.")
	case s.f.registries[domain] == nil:
		return s.absent("remove", domain)
	}
	delete(s.f.registries, domain)
	return nil
}

func (s fakeRegistries) absent(op, domain string) error {
	return wrong(fs.NotFound, op, "registries/"+domain, "There is no registry %s.", domain)
}

func (s fakeRegistries) Login(ctx context.Context, domain, user, password string) error {
	if password != Password {
		return wrong(fs.Denied, "login", "registries/"+domain, "The registry %s does not accept the password.", domain)
	}
	return s.user(ctx, domain, user)
}

func (s fakeRegistries) Logout(ctx context.Context, domain string) error {
	return s.user(ctx, domain, "")
}

func (s fakeRegistries) user(ctx context.Context, domain, user string) error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	r := s.f.registries[domain]
	if r == nil {
		return s.absent("login", domain)
	}
	by, _ := fs.By(ctx)
	users := maps.Clone(r.Users)
	if users == nil {
		users = map[uint32]string{}
	}
	users[by.UID] = user
	r.Users = users
	return nil
}

func (s fakeRegistries) Get(domain, setting string) (string, error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	r := s.f.registries[domain]
	if r == nil {
		return "", s.absent("get", domain)
	}
	return r.settings[setting], nil
}

func (s fakeRegistries) Set(_ context.Context, domain, setting, value string) error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	r := s.f.registries[domain]
	switch {
	case r == nil:
		return s.absent("set", domain)
	case setting == "insecure" && strings.Trim(value, " \n") != "true" && value != "":
		return wrong(fs.Invalid, "set", "registries/"+domain, "%q is neither true nor false.", value)
	}
	r.settings[setting] = value
	return nil
}
