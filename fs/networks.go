package fs

import (
	"context"
	"strings"
)

// networks is networks/: each network by its name.
type networks struct{ objects[*Network] }

func openNetworks(t *Tree, e *entry) place {
	return &networks{objects[*Network]{refusing: refusing{e}, all: t.Networks}}
}

func (p *networks) mkdir(ctx context.Context, name string) (*entry, error) {
	if dot(name) {
		return nil, p.no("mkdir", name, "a network's name begins with a letter or digit")
	}
	by, _ := By(ctx)
	return p.make(ctx, name, func(ctx context.Context) (*Network, error) { return p.e.t.Networks.Create(ctx, name, by) })
}

// rmdir removes a network that no container is on.
func (p *networks) rmdir(ctx context.Context, name string) error {
	if err := p.here(name); err != nil {
		return err
	}
	return p.e.t.within(ctx, "rmdir", "networks/"+name, func(ctx context.Context) error { return p.e.t.Networks.Remove(ctx, name) })
}

// networkPlace is a network's directory.
type networkPlace struct{ reviving }

func openNetwork(_ *Tree, e *entry) place { return &networkPlace{reviving{fixed{e}}} }

// unlink lets rm -r come to the rmdir that removes the network, if that would do so.
func (p *networkPlace) unlink(_ context.Context, name string) error {
	if _, err := p.e.network(); err != nil {
		return err
	}
	if err := p.e.t.Networks.Spare(p.e.obj.id); err != nil {
		return err
	}
	p.e.t.hides.hide(p.e.key, name)
	return nil
}

func networkText(name, summary string, f func(*Network) string) *row {
	return text(name, 0o644, summary, func(_ context.Context, _ *Tree, e *entry) ([]byte, error) {
		n, err := e.network()
		if err != nil {
			return nil, err
		}
		return []byte(f(n)), nil
	})
}

func networkMade(n *Network) string {
	if n.Made.Unix() <= 0 {
		return ""
	}
	return stamp(n.Made)
}

// networkMembers are the containers on a network, each with the addresses it has there.
func networkMembers(_ context.Context, t *Tree, e *entry) ([]byte, error) {
	if _, err := e.network(); err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, m := range t.Networks.Members(e.obj.id) {
		b.WriteString(strings.Join(append([]string{m.Name}, m.Addresses...), " ") + "\n")
	}
	return []byte(b.String()), nil
}
