package fs

import (
	"context"
	"fmt"
)

// place is what a directory shows and lets be done in it. Each method that changes something checks everything itself
// and answers an [Error]; who asks is in the context ([By]). Names never hold a slash nor are "." or "..".
type place interface {
	// list returns what is listed, in any order, from snapshots.
	list(ctx context.Context) ([]*entry, error)
	// find returns what a name stands for; nil if there is none.
	find(ctx context.Context, name string) (*entry, error)
	mkdir(ctx context.Context, name string) (*entry, error)
	rmdir(ctx context.Context, name string) error
	unlink(ctx context.Context, name string) error
	rename(ctx context.Context, name string, to place, toName string, keep bool) error
	symlink(ctx context.Context, target, name string) (*entry, error)
	// create makes a file, or opens one that unlink has hidden.
	create(ctx context.Context, name string) (*entry, error)
}

// refusing is a place in which nothing can be made or removed.
type refusing struct{ e *entry }

func (r refusing) no(op, name, why string) error {
	p := name
	if at := r.e.path(); at != "" {
		p = at + "/" + name
	}
	return fail(Forbidden, op, p, fmt.Sprintf("Cannot %s %s: %s.", op, p, why))
}

func (r refusing) mkdir(_ context.Context, name string) (*entry, error) {
	return nil, r.no("mkdir", name, "directories are made in images/, containers/, an image's containers/, volumes/, networks/ and registries/")
}

func (r refusing) rmdir(_ context.Context, name string) error {
	return r.no("rmdir", name, "it is part of the tree")
}

func (r refusing) unlink(_ context.Context, name string) error {
	return r.no("unlink", name, "it is part of the tree")
}

func (r refusing) rename(_ context.Context, name string, _ place, _ string, _ bool) error {
	return r.no("rename", name, "only images and containers can be renamed, each within images/ or containers/")
}

func (r refusing) symlink(_ context.Context, _, name string) (*entry, error) {
	return nil, r.no("symlink", name, "links are made in images/ only, to tag an image")
}

func (r refusing) create(_ context.Context, name string) (*entry, error) {
	return nil, r.no("create", name, "files cannot be made here")
}

// fixed is a place that shows its row's rows and nothing else.
type fixed struct {
	e *entry
}

func (f *fixed) refuse() refusing { return refusing{f.e} }

func (f *fixed) list(context.Context) ([]*entry, error) {
	var es []*entry
	for _, r := range f.e.row.rows {
		c := f.e.child(r, r.name)
		if !r.hidden && (r.when == nil || r.when(c)) && !f.e.t.hides.hidden(f.e.key, r.name) {
			es = append(es, c)
		}
	}
	return es, nil
}

func (f *fixed) find(_ context.Context, name string) (*entry, error) {
	r := f.e.row.find(name)
	if r == nil {
		return nil, nil
	}
	c := f.e.child(r, name)
	if r.when != nil && !r.when(c) || f.e.t.hides.hidden(f.e.key, name) {
		return nil, nil
	}
	return c, nil
}

func (f *fixed) mkdir(ctx context.Context, name string) (*entry, error) {
	return f.refuse().mkdir(ctx, name)
}

func (f *fixed) rmdir(ctx context.Context, name string) error { return f.refuse().rmdir(ctx, name) }

func (f *fixed) unlink(ctx context.Context, name string) error { return f.refuse().unlink(ctx, name) }

func (f *fixed) rename(ctx context.Context, name string, to place, toName string, keep bool) error {
	return f.refuse().rename(ctx, name, to, toName, keep)
}

func (f *fixed) symlink(ctx context.Context, target, name string) (*entry, error) {
	return f.refuse().symlink(ctx, target, name)
}

func (f *fixed) create(ctx context.Context, name string) (*entry, error) {
	return f.refuse().create(ctx, name)
}

// reviving is a fixed place in which > makes the file again that unlink has hidden.
type reviving struct{ fixed }

func (p *reviving) create(ctx context.Context, name string) (*entry, error) {
	r := p.e.row.find(name)
	if r == nil {
		return p.fixed.create(ctx, name)
	}
	p.e.t.hides.show(p.e.key, name)
	return p.e.child(r, name), nil
}

// dot tells whether a name is one that hull never has: .git, .Trash-1000, .hidden, which programs look for everywhere.
func dot(name string) bool { return name != "" && name[0] == '.' }
