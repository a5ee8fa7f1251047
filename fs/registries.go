package fs

import (
	"context"
	"fmt"
	"strings"
)

// registries is registries/: each registry by its host.
type registries struct{ objects[*Registry] }

func openRegistries(t *Tree, e *entry) place {
	return &registries{objects[*Registry]{refusing: refusing{e}, all: t.Registries}}
}

func (p *registries) mkdir(ctx context.Context, name string) (*entry, error) {
	if dot(name) {
		return nil, p.no("mkdir", name, "no registry's name begins with a dot")
	}
	return p.make(ctx, name, func(ctx context.Context) (*Registry, error) { return p.e.t.Registries.Add(ctx, name) })
}

// rmdir logs out and forgets.
func (p *registries) rmdir(ctx context.Context, name string) error {
	if err := p.here(name); err != nil {
		return err
	}
	return p.e.t.within(ctx, "rmdir", "registries/"+name, func(ctx context.Context) error { return p.e.t.Registries.Remove(ctx, name) })
}

// registryPlace is a registry's directory.
type registryPlace struct{ reviving }

func openRegistry(_ *Tree, e *entry) place { return &registryPlace{reviving{fixed{e}}} }

// unlink of login logs out, and the file stays to log in again. The other names go for a while, so that rm -r comes to
// the rmdir that forgets the registry; of docker.io, which stays, they do not.
func (p *registryPlace) unlink(ctx context.Context, name string) error {
	if _, err := p.e.registry(); err != nil {
		return err
	}
	switch {
	case name == "login":
		if err := p.e.t.Registries.Logout(ctx, p.e.obj.id); err != nil {
			return err
		}
		p.e.t.succeeded(p.e)
		return nil
	case p.e.obj.id == "docker.io":
		return p.refuse().no("unlink", name, "Docker's registry is always there; rm login logs you out")
	}
	p.e.t.hides.hide(p.e.key, name)
	return nil
}

// login takes USER PASSWORD. A password may hold white space, a user's name does not.
func login(ctx context.Context, t *Tree, e *entry, line string) error {
	user, password, ok := strings.Cut(strings.TrimLeft(line, " \t"), " ")
	if !ok || user == "" || password == "" {
		return fail(Invalid, "login", e.label(), fmt.Sprintf("%s takes USER PASSWORD, on one line; execute it and it asks.", e.path()))
	}
	return t.Registries.Login(ctx, e.obj.id, user, password)
}

func registryUser(ctx context.Context, _ *Tree, e *entry) ([]byte, error) {
	r, err := e.registry()
	if err != nil {
		return nil, err
	}
	by, _ := By(ctx)
	return []byte(line(r.Users[by.UID])), nil
}

func registryStatus(ctx context.Context, t *Tree, e *entry) ([]byte, error) {
	user, err := registryUser(ctx, t, e)
	if err != nil || len(user) == 0 {
		return []byte("anonymous\n"), err
	}
	return []byte("logged-in\n"), nil
}
