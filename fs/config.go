package fs

import (
	"context"
	"fmt"
)

// config is a container's config/: its settings, and what editors put beside them.
type config struct {
	fixed
}

func openConfig(_ *Tree, e *entry) place { return &config{fixed{e}} }

func (p *config) list(ctx context.Context) ([]*entry, error) {
	es, err := p.fixed.list(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range p.e.t.scratch.list(p.e.obj.id) {
		es = append(es, scratchEntry(p.e, n))
	}
	return es, nil
}

func (p *config) find(ctx context.Context, name string) (*entry, error) {
	e, err := p.fixed.find(ctx, name)
	if e != nil || err != nil {
		return e, err
	}
	if p.e.t.scratch.has(p.e.obj.id, name) {
		return scratchEntry(p.e, name), nil
	}
	return nil, nil
}

// setting returns the row of a setting; nil if name is none.
func (p *config) setting(name string) *row {
	if r := p.e.row.find(name); r != nil && r.kind == settingRow {
		return r
	}
	return nil
}

// unlink of a setting resets it, as a part of rm -r does, so not while the container runs.
func (p *config) unlink(ctx context.Context, name string) error {
	if p.e.t.scratch.has(p.e.obj.id, name) {
		p.e.t.scratch.remove(p.e.obj.id, name)
		return nil
	}
	if p.e.row.find(name) == nil {
		return fail(NotFound, "unlink", p.e.path()+"/"+name, fmt.Sprintf("There is no setting %s.", name))
	}
	if err := idle(p.e, name); err != nil {
		return err
	}
	if p.setting(name) != nil {
		// One that cannot be reset, as the image of a container that was started (Busy), or memory while there is a
		// memory_swap (Invalid), must not stop rm -r.
		if err := p.e.t.Containers.Reset(ctx, p.e.obj.id, name); err != nil && KindOf(err) != Busy && KindOf(err) != Invalid {
			return err
		}
	}
	p.e.t.hides.hide(p.e.key, name)
	return nil
}

func (p *config) create(ctx context.Context, name string) (*entry, error) {
	if r := p.e.row.find(name); r != nil {
		p.e.t.hides.show(p.e.key, name)
		return p.e.child(r, name), nil
	}
	if settingLike(name) {
		return nil, fail(NotFound, "create", p.e.path()+"/"+name, fmt.Sprintf("There is no setting %s; ls %s shows those there are.", name, p.e.path()))
	}
	if !p.e.t.scratch.has(p.e.obj.id, name) {
		if err := p.e.t.scratch.write(p.e.obj.id, name, nil); err != nil {
			return nil, err
		}
	}
	return scratchEntry(p.e, name), nil
}

// rename is how editors save: a scratch file onto a setting sets it, a setting onto a scratch file leaves a copy there
// and hides the setting until it is written anew.
func (p *config) rename(ctx context.Context, name string, to place, toName string, keep bool) error {
	other, ok := to.(*config)
	if !ok || other.e.obj != p.e.obj {
		return p.refuse().no("rename", name, "a setting stays in its config directory; copy it with cp")
	}
	from, err := p.find(ctx, name)
	switch {
	case err != nil:
		return err
	case from == nil:
		return fail(NotFound, "rename", p.e.path()+"/"+name, fmt.Sprintf("There is no %s in %s.", name, p.e.path()))
	case from.row.kind == textRow:
		return p.refuse().no("rename", name, "it shows something and is no setting")
	case from.row.kind == settingRow && p.e.row.find(toName) != nil:
		return p.refuse().no("rename", name, "a setting cannot take another's name")
	}
	if there, err := p.find(ctx, toName); err != nil || there != nil && keep {
		if err == nil {
			err = fail(Exists, "rename", p.e.path()+"/"+toName, fmt.Sprintf("%s/%s exists.", p.e.path(), toName))
		}
		return err
	}
	b, err := from.content(ctx)
	if err != nil {
		return err
	}
	if err := p.become(ctx, toName, b); err != nil {
		return err
	}
	if from.row.kind == settingRow {
		p.e.t.hides.hide(p.e.key, name)
	} else {
		p.e.t.scratch.remove(p.e.obj.id, name)
	}
	return nil
}

// become gives a name what was renamed onto it.
func (p *config) become(ctx context.Context, name string, b []byte) error {
	r := p.e.row.find(name)
	switch {
	case r == nil && settingLike(name):
		return fail(NotFound, "rename", p.e.path()+"/"+name, fmt.Sprintf("There is no setting %s.", name))
	case r == nil:
		return p.e.t.scratch.write(p.e.obj.id, name, b)
	case r.kind != settingRow:
		return p.refuse().no("rename", name, "it shows something and is no setting")
	}
	if err := p.e.t.setValue(ctx, p.e.child(r, name), b); err != nil {
		return err
	}
	p.e.t.hides.show(p.e.key, name)
	return nil
}
