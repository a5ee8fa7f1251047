package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"hull/engine"
	"hull/fs"
	"hull/fs/journal"
	"hull/layers"
	"hull/layers/credentials"
	"hull/layers/registries"
	"hull/layers/registry"
)

// certificates is where Docker has its users put the authorities to trust for a
// registry.
const certificates = "/etc/docker/certs.d"

// keychain is the logins of a user, who is looked up only when a registry wants
// one.
type keychain uint32

// Credential makes it a registry.Keychain.
func (k keychain) Credential(ctx context.Context, domain string) (registry.Credential, error) {
	return k.user().Credential(ctx, domain)
}

// user is whose logins they are. Of the user that the daemon itself is, its own
// environment may name the directory, as it does for docker.
func (k keychain) user() credentials.User {
	u := credentials.Lookup(uint32(k))
	if int(k) == os.Geteuid() {
		u.Config = os.Getenv("DOCKER_CONFIG")
	}
	return u
}

// openRegistries reads what is known of registries. Nobody is spoken to yet.
func (d *daemon) openRegistries(context.Context) (func() error, error) {
	var err error
	d.book, err = registries.Open(filepath.Join(d.Store, "registries"), d.log)
	if err != nil {
		return nil, err
	}
	return func() error { return nil }, nil
}

// known shows the registries to the tree, and logs in and out.
type known struct{ *daemon }

func (k known) List() []*fs.Registry {
	list := k.book.List()
	out := make([]*fs.Registry, 0, len(list))
	for _, r := range list {
		out = append(out, &fs.Registry{Domain: r.Domain, Made: r.Made, Users: r.Users})
	}
	return out
}

func (k known) Find(domain string) (*fs.Registry, bool) {
	r, ok := k.book.Find(domain)
	if !ok {
		return nil, false
	}
	return &fs.Registry{Domain: r.Domain, Made: r.Made, Users: r.Users}, true
}

func (k known) Add(ctx context.Context, domain string) (*fs.Registry, error) {
	r, err := k.book.Add(domain)
	if err != nil {
		return nil, fromRegistry(domain, err)
	}
	k.told(ctx, "create", domain, nil)
	return &fs.Registry{Domain: r.Domain, Made: r.Made}, nil
}

func (k known) Remove(ctx context.Context, domain string) error {
	if _, ok := k.book.Find(domain); ok && domain != "docker.io" {
		if err := k.Logout(ctx, domain); err != nil {
			return err
		}
	}
	if err := k.book.Remove(domain); err != nil {
		return fromRegistry(domain, err)
	}
	k.told(ctx, "remove", domain, nil)
	return nil
}

func (k known) Login(ctx context.Context, domain, user, password string) error {
	_, err := k.login(ctx, domain, user, password)
	return err
}

// login has the registry check a login before it is kept.
func (k known) login(ctx context.Context, domain, user, password string) (credentials.Stored, error) {
	keep, err := k.store.Login(ctx, domain, registry.Credential{User: user, Password: password})
	if err != nil {
		return credentials.Stored{}, fromRegistry(domain, err)
	}
	stored, err := credentials.Store(ctx, keychain(uid(ctx)).user(), domain, keep)
	if err == nil {
		err = k.book.SetUser(domain, uid(ctx), user)
	}
	if err != nil {
		return stored, fromRegistry(domain, err)
	}
	extra := map[string]string{"user": user}
	if w := stored.Warning(); w != "" {
		extra["warning"] = w
	}
	k.told(ctx, "login", domain, extra)
	return stored, nil
}

func (k known) Logout(ctx context.Context, domain string) error {
	err := credentials.Erase(ctx, keychain(uid(ctx)).user(), domain)
	if err == nil {
		err = k.book.SetUser(domain, uid(ctx), "")
	}
	if err != nil {
		return fromRegistry(domain, err)
	}
	k.told(ctx, "logout", domain, nil)
	return nil
}

func (k known) Get(domain, setting string) (string, error) {
	r, ok := k.book.Find(domain)
	switch {
	case !ok:
		return "", &fs.Error{Op: "read", Object: "registries/" + domain, Kind: fs.Removed, Sentence: "The registry " + domain + " was removed."}
	case setting == "insecure":
		return r.Insecure, nil
	}
	return r.Mirror, nil
}

func (k known) Set(ctx context.Context, domain, setting, value string) error {
	set := k.book.SetMirror
	if setting == "insecure" {
		set = k.book.SetInsecure
	}
	if err := set(domain, value); err != nil {
		return fromRegistry(domain, err)
	}
	k.told(ctx, "update", domain, map[string]string{"setting": setting})
	return nil
}

// told writes down what happened to a registry.
func (k known) told(ctx context.Context, action, domain string, extra map[string]string) {
	by := uid(ctx)
	k.record(journal.Event{Type: "registry", Action: action, Object: domain, UID: &by, Cause: string(engine.Asked), Extra: extra})
}

// fromRegistry makes a failure of a registry, or of what is kept of it, one of the
// tree.
func fromRegistry(domain string, err error) error {
	if err == nil {
		return nil
	}
	object := "registries/" + domain
	var c *credentials.Error
	var b *registries.Error
	var r *registry.Error
	var l *layers.Error
	switch {
	case errors.As(err, &c):
		return &fs.Error{Op: c.Op, Object: object, Kind: credentialKinds[c.Kind], Sentence: c.Error(), Err: err}
	case errors.As(err, &b):
		return &fs.Error{Op: b.Op, Object: object, Kind: bookKinds[registries.KindOf(err)], Sentence: b.Error(), Err: err}
	case errors.As(err, &l):
		return fromStore(object, err)
	case errors.As(err, &r):
		return &fs.Error{Op: r.Op, Object: object, Kind: layersKinds[layers.KindOf(err)], Sentence: r.Error(), Err: err}
	}
	return fromContext(object, err)
}
