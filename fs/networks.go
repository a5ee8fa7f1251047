package fs

import (
	"context"
	"strings"
)

// networks is networks/: each network by its name.
type networks struct {
	refusing
	each *row
}

func openNetworks(_ *Tree, e *entry) place { return &networks{refusing{e}, e.row.rows[0]} }

func (p *networks) entry(n *Network) *entry {
	o := object{kind: networkObject, id: n.Name, made: n.Made}
	return &entry{t: p.e.t, row: p.each, obj: o, name: n.Name, dir: p.e.path(), key: o.key()}
}

func (p *networks) list(context.Context) ([]*entry, error) {
	all := p.e.t.Networks.List()
	es := make([]*entry, len(all))
	for i, n := range all {
		es[i] = p.entry(n)
	}
	return es, nil
}

func (p *networks) find(_ context.Context, name string) (*entry, error) {
	if n, ok := p.e.t.Networks.Find(name); ok && !dot(name) {
		return p.entry(n), nil
	}
	return p.e.unlisted(name), nil
}

func (p *networks) mkdir(ctx context.Context, name string) (*entry, error) {
	if dot(name) {
		return nil, p.no("mkdir", name, "a network's name begins with a letter or digit")
	}
	by, _ := By(ctx)
	n, err := p.e.t.Networks.Create(ctx, name, by)
	if err != nil {
		return nil, err
	}
	return p.entry(n), nil
}

// rmdir removes a network that no container is on.
func (p *networks) rmdir(ctx context.Context, name string) error {
	if _, ok := p.e.t.Networks.Find(name); !ok {
		return absent("rmdir", p.e.path(), name, nil)
	}
	return p.e.t.Networks.Remove(ctx, name)
}

// networkPlace is a network's directory.
type networkPlace struct {
	fixed
}

func openNetwork(_ *Tree, e *entry) place { return &networkPlace{fixed{e}} }

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

// create is > onto a file that unlink has hidden.
func (p *networkPlace) create(ctx context.Context, name string) (*entry, error) {
	r := p.e.row.find(name)
	if r == nil {
		return p.fixed.create(ctx, name)
	}
	p.e.t.hides.show(p.e.key, name)
	return p.e.child(r, name), nil
}

// network returns the snapshot of the network the entry belongs to.
func (e *entry) network() (*Network, error) {
	n, ok := e.t.Networks.Find(e.obj.id)
	if !ok || !n.Made.Equal(e.obj.made) {
		return nil, fail(Removed, "", "networks/"+e.obj.id, "The network "+e.obj.id+" was removed.")
	}
	return n, nil
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
