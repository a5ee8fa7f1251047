package fs

import "context"

// exec is a container's exec/: one executable for each command on its PATH.
type exec struct {
	refusing
}

func openExec(_ *Tree, e *entry) place { return &exec{refusing{e}} }

func (p *exec) list(context.Context) ([]*entry, error) {
	names, err := p.e.t.Containers.Commands(p.e.obj.id)
	if err != nil { // its image is not there yet
		return nil, nil //nolint:nilerr // there are no commands then, and ls must not fail for it
	}
	es := make([]*entry, 0, len(names))
	for _, n := range names {
		if !p.e.t.hides.hidden(p.e.key, n) {
			es = append(es, p.e.child(p.e.row.rows[0], n))
		}
	}
	return es, nil
}

func (p *exec) find(_ context.Context, name string) (*entry, error) {
	ok, err := p.e.t.Containers.Command(p.e.obj.id, name)
	if err != nil || !ok || p.e.t.hides.hidden(p.e.key, name) {
		return nil, nil //nolint:nilerr // as in list
	}
	return p.e.child(p.e.row.rows[0], name), nil
}

func (p *exec) unlink(_ context.Context, name string) error { return dissolve(p.e, name) }
