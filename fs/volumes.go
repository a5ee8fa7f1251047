package fs

import (
	"context"
	"fmt"
	"strconv"
)

// volumes is volumes/: each volume by its name.
type volumes struct {
	refusing
	each *row
}

func openVolumes(_ *Tree, e *entry) place { return &volumes{refusing{e}, e.row.rows[0]} }

func (p *volumes) entry(v *Volume) *entry {
	o := object{kind: volumeObject, id: v.Name, made: v.Made}
	return &entry{t: p.e.t, row: p.each, obj: o, name: v.Name, dir: p.e.path(), key: o.key()}
}

func (p *volumes) list(context.Context) ([]*entry, error) {
	all := p.e.t.Volumes.List()
	es := make([]*entry, len(all))
	for i, v := range all {
		es[i] = p.entry(v)
	}
	return es, nil
}

func (p *volumes) find(_ context.Context, name string) (*entry, error) {
	if v, ok := p.e.t.Volumes.Find(name); ok && !dot(name) {
		return p.entry(v), nil
	}
	return p.e.unlisted(name), nil
}

func (p *volumes) mkdir(ctx context.Context, name string) (*entry, error) {
	if dot(name) {
		return nil, p.no("mkdir", name, "a volume's name begins with a letter or digit")
	}
	by, _ := By(ctx)
	var v *Volume
	err := p.e.t.within(ctx, "mkdir", "volumes/"+name, func(ctx context.Context) (err error) {
		v, err = p.e.t.Volumes.Create(ctx, name, by)
		return err
	})
	if err != nil {
		return nil, err
	}
	return p.entry(v), nil
}

// rmdir removes a volume that is not used and has nothing in it: rm -rf must not delete databases.
func (p *volumes) rmdir(ctx context.Context, name string) error {
	if _, ok := p.e.t.Volumes.Find(name); !ok {
		return absent("rmdir", p.e.path(), name, nil)
	}
	return p.e.t.within(ctx, "rmdir", "volumes/"+name, func(ctx context.Context) error {
		return p.e.t.Volumes.Remove(ctx, name, false)
	})
}

// volumePlace is a volume's directory.
type volumePlace struct {
	fixed
}

func openVolume(_ *Tree, e *entry) place { return &volumePlace{fixed{e}} }

// unlink lets rm -r come to the rmdir that removes the volume, if that would do so.
func (p *volumePlace) unlink(_ context.Context, name string) error {
	if _, err := p.e.volume(); err != nil {
		return err
	}
	if err := p.e.t.Volumes.Spare(p.e.obj.id); err != nil {
		return err
	}
	p.e.t.hides.hide(p.e.key, name)
	return nil
}

// volume returns the snapshot of the volume the entry belongs to.
func (e *entry) volume() (*Volume, error) {
	v, ok := e.t.Volumes.Find(e.obj.id)
	if !ok || !v.Made.Equal(e.obj.made) {
		return nil, fail(Removed, "", "volumes/"+e.obj.id, "The volume "+e.obj.id+" was removed.")
	}
	return v, nil
}

func volumeSize(_ context.Context, t *Tree, e *entry) ([]byte, error) {
	if _, err := e.volume(); err != nil {
		return nil, err
	}
	n, ok := t.Volumes.Size(e.obj.id)
	if !ok {
		return nil, nil
	}
	return []byte(strconv.FormatInt(n, 10) + "\n"), nil
}

func volumeUsers(_ context.Context, _ *Tree, e *entry) ([]byte, error) {
	v, err := e.volume()
	if err != nil {
		return nil, err
	}
	return []byte(lines(v.Users)), nil
}

func volumeData(_ *Tree, e *entry) string { return e.up() + "rootfs/volumes/" + e.obj.id }

func removeVolume(ctx context.Context, t *Tree, e *entry, args []string) error {
	if err := none(e, "remove", args); err != nil {
		return err
	}
	return t.Volumes.Remove(ctx, e.obj.id, true)
}

// volumeRoots is rootfs/volumes.
type volumeRoots struct {
	refusing
}

func openVolumeRoots(_ *Tree, e *entry) place { return &volumeRoots{refusing{e}} }

func (p *volumeRoots) list(context.Context) ([]*entry, error) {
	var es []*entry
	for _, v := range p.e.t.Volumes.List() {
		es = append(es, p.entry(v))
	}
	return es, nil
}

func (p *volumeRoots) find(_ context.Context, name string) (*entry, error) {
	if v, ok := p.e.t.Volumes.Find(name); ok {
		return p.entry(v), nil
	}
	return nil, nil
}

func (p *volumeRoots) entry(v *Volume) *entry {
	o := object{kind: volumeObject, id: v.Name, made: v.Made}
	return &entry{
		t: p.e.t, row: p.e.row.rows[0], obj: o, name: v.Name, dir: p.e.path(),
		key: fmt.Sprint("rootfs/volumes/", o.key()),
	}
}
