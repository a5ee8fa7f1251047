package fs

import "context"

// objects is a directory of all of one kind, each by what it is called: registries/, volumes/, networks/ and layers/. What
// embeds it says how one is made and removed.
type objects[T snapshot] struct {
	refusing
	all   catalog[T]
	under string // what keys begin with besides: a directory may not have two parents
}

func (p *objects[T]) entry(x T) *entry {
	o := x.object()
	return &entry{t: p.e.t, row: p.e.row.rows[0], obj: o, name: o.id, dir: p.e.path(), key: p.under + o.key()}
}

func (p *objects[T]) list(context.Context) ([]*entry, error) {
	all := p.all.List()
	es := make([]*entry, len(all))
	for i, x := range all {
		es[i] = p.entry(x)
	}
	return es, nil
}

func (p *objects[T]) find(_ context.Context, name string) (*entry, error) {
	if x, ok := p.all.Find(name); ok && !dot(name) {
		return p.entry(x), nil
	}
	return p.e.unlisted(name), nil
}

// make makes one, by create, in the time that the kernel may be kept from listing the directory.
func (p *objects[T]) make(ctx context.Context, name string, create func(context.Context) (T, error)) (*entry, error) {
	var x T
	err := p.e.t.within(ctx, "mkdir", p.e.path()+"/"+name, func(ctx context.Context) (err error) {
		x, err = create(ctx)
		return err
	})
	if err != nil { // x may still be made
		return nil, err
	}
	return p.entry(x), nil
}

// here tells that there is none to be removed.
func (p *objects[T]) here(name string) error {
	if _, ok := p.all.Find(name); !ok {
		return absent("rmdir", p.e.path(), name, nil)
	}
	return nil
}
