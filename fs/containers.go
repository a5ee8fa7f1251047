package fs

import (
	"context"
	"fmt"
)

// containers is containers/: each container by its name, and unlisted by its ID and the beginning of that.
type containers struct {
	refusing
	each *row
}

func openContainers(_ *Tree, e *entry) place {
	return &containers{refusing{e}, e.row.rows[0]}
}

func (p *containers) entry(c *Container) *entry {
	return &entry{t: p.e.t, row: p.each, obj: c.object(), name: c.Name, dir: p.e.path(), key: "c/" + c.ID}
}

func (p *containers) list(context.Context) ([]*entry, error) {
	all := p.e.t.Containers.List()
	es := make([]*entry, len(all))
	for i, c := range all {
		es[i] = p.entry(c)
	}
	return es, nil
}

// find knows names, and IDs as aliases: directories of their own that act on the same container.
func (p *containers) find(_ context.Context, name string) (*entry, error) {
	if dot(name) {
		return nil, nil
	}
	c, ok := p.e.t.Containers.Find(name)
	if !ok {
		var err error
		if c, err = p.byDigits(name); err != nil {
			return nil, err
		}
	}
	if c == nil {
		return p.e.unlisted(name), nil
	}
	e := p.entry(c)
	if c.Name != name {
		e.name, e.key = name, e.key+"#"+name
	}
	return e, nil
}

// unlisted is a row of a collection that resolves without being listed; nil if there is none.
func (e *entry) unlisted(name string) *entry {
	for _, r := range e.row.rows[1:] {
		if r.name == name {
			return e.child(r, name)
		}
	}
	return nil
}

// checkName tells why a container cannot have a name.
func checkName(name string) error {
	switch {
	case dot(name):
		return fail(Forbidden, "mkdir", "containers/"+name, fmt.Sprintf("A container cannot be called %s: its name begins with a letter or digit.", name))
	case !validName(name):
		return fail(Invalid, "mkdir", "containers/"+name, fmt.Sprintf("A container cannot be called %q: a name begins with a letter or digit and goes on with those, _, . and -.", name))
	}
	return nil
}

func validName(name string) bool {
	for i, c := range name {
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9':
		case i > 0 && (c == '_' || c == '.' || c == '-'):
		default:
			return false
		}
	}
	return name != "" && len(name) <= 128
}

func (p *containers) mkdir(ctx context.Context, name string) (*entry, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	by, _ := By(ctx)
	var c *Container
	err := p.e.t.within(ctx, "mkdir", "containers/"+name, func(ctx context.Context) (err error) {
		c, err = p.e.t.Containers.Create(ctx, NewContainer{Name: name, Owner: by})
		return err
	})
	if err != nil {
		return nil, err
	}
	return p.entry(c), nil
}

func (p *containers) named(op, name string) (*Container, error) {
	if c, ok := p.e.t.Containers.Find(name); ok && !dot(name) {
		return c, nil
	}
	if c, err := p.byDigits(name); c != nil || err != nil {
		return c, err
	}
	return nil, fail(NotFound, op, "containers/"+name, fmt.Sprintf("There is no container %s.", name))
}

func (p *containers) rmdir(ctx context.Context, name string) error {
	c, err := p.named("rmdir", name)
	if err != nil {
		return err
	}
	return p.e.t.within(ctx, "rmdir", "containers/"+name, func(ctx context.Context) error {
		return p.e.t.Containers.Remove(ctx, c.ID, false)
	})
}

func (p *containers) rename(ctx context.Context, name string, to place, toName string, _ bool) error {
	c, err := p.named("rename", name)
	switch _, ok := to.(*containers); {
	case err != nil:
		return err
	case !ok:
		return p.no("rename", name, "a container stays in containers/; give mv the new name there")
	}
	if _, taken := p.e.t.Containers.Find(toName); taken {
		return fail(Exists, "rename", "containers/"+toName, fmt.Sprintf("The name %s is taken by another container.", toName))
	}
	if err := checkName(toName); err != nil {
		return err
	}
	return p.e.t.within(ctx, "rename", "containers/"+name, func(ctx context.Context) error {
		return p.e.t.Containers.Rename(ctx, c.ID, toName)
	})
}

// containerPlace is a container's directory, and what rm -r does to it.
type containerPlace struct {
	fixed
}

func openContainer(_ *Tree, e *entry) place { return &containerPlace{fixed{e}} }

func (p *containerPlace) unlink(_ context.Context, name string) error { return dissolve(p.e, name) }
func (p *containerPlace) rmdir(_ context.Context, name string) error  { return dissolve(p.e, name) }

// dissolve takes a name of a container's away for a while, so that rm -r can go on to the rmdir that removes the
// container. On a running one it is EBUSY, and nothing has changed.
func dissolve(e *entry, name string) error {
	if err := idle(e, name); err != nil {
		return err
	}
	e.t.hides.hide(e.key, name)
	return nil
}

func idle(e *entry, name string) error {
	c, err := e.container()
	if err != nil {
		return err
	}
	if c.Lives() {
		return fail(Busy, "unlink", e.path()+"/"+name, fmt.Sprintf("The container %s is %s: stop it first, or echo 'remove force' > containers/%s/ctl.", c.Name, c.Status, c.Name))
	}
	return nil
}
