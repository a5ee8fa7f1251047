package main

import (
	"context"

	"hull/engine"
	"hull/fs"
)

// volumes shows the engine's volumes to the tree.
type volumes struct{ engine *engine.Engine }

func (v volumes) List() []*fs.Volume {
	list := v.engine.Volumes()
	out := make([]*fs.Volume, len(list))
	for i, x := range list {
		out[i] = shownVolume(x)
	}
	return out
}

func (v volumes) Find(name string) (*fs.Volume, bool) {
	x, ok := v.engine.FindVolume(name)
	if !ok {
		return nil, false
	}
	return shownVolume(x), true
}

func shownVolume(x *engine.Volume) *fs.Volume {
	return &fs.Volume{Name: x.Name, Owner: x.UID, Made: x.Created, Users: x.Users}
}

func (v volumes) Create(ctx context.Context, name string, owner fs.Credential) (*fs.Volume, error) {
	x, err := v.engine.CreateVolume(ctx, name, engine.Owner{UID: owner.UID, GID: owner.GID})
	if err != nil {
		return nil, fromEngine("volumes/"+name, err)
	}
	return shownVolume(x), nil
}

func (v volumes) Remove(ctx context.Context, name string, all bool) error {
	return fromEngine("volumes/"+name, v.engine.RemoveVolume(ctx, name, all))
}

func (v volumes) Spare(name string) error {
	return fromEngine("volumes/"+name, v.engine.SpareVolume(name))
}

func (v volumes) Size(name string) (int64, bool) { return v.engine.VolumeSize(name) }

func (v views) VolumeRoot(_ context.Context, name string) (*fs.Root, error) {
	w, err := v.engine.ViewVolume(name)
	if err != nil {
		return nil, fromEngine("volumes/"+name, err)
	}
	return &fs.Root{Dir: w.Dir, Mark: w.Mark, Gone: w.Gone, Release: w.Release}, nil
}

// pruneVolumes removes the volumes that no container has among its mounts: those that were made for containers which
// are gone, or with all every one.
func (u upkeep) pruneVolumes(ctx context.Context, all, dry bool) (lines []string, bytes int64, err error) {
	for _, v := range u.engine.Volumes() {
		if len(v.Users) > 0 || !v.Anonymous && !all {
			continue
		}
		n := u.engine.WeighVolume(ctx, v.Name)
		if !dry {
			err := u.engine.RemoveVolume(ctx, v.Name, true)
			switch kind := engine.KindOf(err); {
			case err != nil && (kind == engine.Busy || kind == engine.NotFound):
				continue // somebody uses or has removed it meanwhile
			case err != nil:
				return lines, bytes, fromEngine("volumes/"+v.Name, err)
			}
		}
		lines, bytes = append(lines, "Deleted: volume "+v.Name), bytes+n
	}
	return lines, bytes, nil
}
