package fs

import (
	"context"
	"strconv"
)

// volumes is volumes/: each volume by its name.
type volumes struct{ objects[*Volume] }

func openVolumes(t *Tree, e *entry) place {
	return &volumes{objects[*Volume]{refusing: refusing{e}, all: t.Volumes}}
}

// openVolumeRoots opens rootfs/volumes.
func openVolumeRoots(t *Tree, e *entry) place {
	return &objects[*Volume]{refusing: refusing{e}, all: t.Volumes, under: "rootfs/volumes/"}
}

func (p *volumes) mkdir(ctx context.Context, name string) (*entry, error) {
	if dot(name) {
		return nil, p.no("mkdir", name, "a volume's name begins with a letter or digit")
	}
	by, _ := By(ctx)
	return p.make(ctx, name, func(ctx context.Context) (*Volume, error) { return p.e.t.Volumes.Create(ctx, name, by) })
}

// rmdir removes a volume that is not used and has nothing in it: rm -rf must not delete databases.
func (p *volumes) rmdir(ctx context.Context, name string) error {
	if err := p.here(name); err != nil {
		return err
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

func removeVolume(ctx context.Context, t *Tree, e *entry, _ []string) error {
	return t.Volumes.Remove(ctx, e.obj.id, true)
}
