package engine

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
	"hull/engine/volume"
)

// Volume is one moment of a volume. It never changes.
type Volume struct {
	Name string
	Owner
	Created   time.Time
	Anonymous bool     // made for a VOLUME of an image, or for a mount that names none
	Users     []string // names of the containers that have it among their mounts, sorted
}

// openVolumes reads the volumes. The containers' supervisors say which they use.
func (e *Engine) openVolumes() error {
	var err error
	e.volumes, err = volume.Open(volume.Options{
		Dir: filepath.Join(e.o.Dir, "volumes"), Logger: e.o.Logger,
		Discard: func(path string) { e.trash.put(path) },
		Crash:   func(at string) { e.crash(point(at)) },
	})
	return err
}

// Volumes answers every volume, by name. It never waits.
func (e *Engine) Volumes() []*Volume {
	list := e.volumes.List()
	out := make([]*Volume, len(list))
	for i, v := range list {
		out[i] = e.shownVolume(v)
	}
	return out
}

// FindVolume answers the volume of a name. It never waits.
func (e *Engine) FindVolume(name string) (*Volume, bool) {
	v, ok := e.volumes.Find(name)
	if !ok {
		return nil, false
	}
	return e.shownVolume(v), true
}

func (e *Engine) shownVolume(v *volume.Volume) *Volume {
	out := &Volume{Name: v.Name, Owner: Owner{UID: v.UID, GID: v.GID}, Created: v.Created, Anonymous: v.Anonymous}
	for _, id := range v.Users {
		if s := e.index.find(id); s != nil {
			out.Users = append(out.Users, s.snapshot.Load().Name)
		}
	}
	slices.Sort(out.Users)
	return out
}

// CreateVolume makes a volume.
func (e *Engine) CreateVolume(ctx context.Context, name string, owner Owner) (*Volume, error) {
	v, err := e.volumes.Create(volume.New{Name: name, UID: owner.UID, GID: owner.GID})
	if err != nil {
		return nil, asError("create", err)
	}
	e.sayVolume(e.origin(ctx), actCreate, name, owner.UID)
	return e.shownVolume(v), nil
}

// RemoveVolume removes a volume that no container has among its mounts; Kind NotEmpty if there are files in it, unless
// all is set.
func (e *Engine) RemoveVolume(ctx context.Context, name string, all bool) error {
	v, _ := e.FindVolume(name)
	if err := e.volumes.Remove(ctx, name, all); err != nil {
		return inUse(v, err)
	}
	owner := uint32(0)
	if v != nil {
		owner = v.UID
	}
	e.sayVolume(e.origin(ctx), actDestroy, name, owner)
	return nil
}

// inUse says which container keeps a volume from being removed, if that is what the error is about.
func inUse(v *Volume, err error) error {
	var known *volume.Error
	if errors.As(err, &known) && known.Kind == volume.Busy && v != nil && len(v.Users) > 0 {
		return fail("remove", "", Busy, "the volume %s is used by the container %s; remove that, or take the volume from its config/mounts", v.Name, v.Users[0])
	}
	return asError("remove", err)
}

// SpareVolume says what RemoveVolume without all would say now.
func (e *Engine) SpareVolume(name string) error {
	v, _ := e.FindVolume(name)
	if err := e.volumes.Spare(name); err != nil {
		return inUse(v, err)
	}
	return nil
}

// VolumeSize answers how many bytes the files of a volume take; false while that is being counted.
func (e *Engine) VolumeSize(name string) (int64, bool) {
	return e.volumes.Size(e.ctx, name, func(count func(context.Context)) {
		if !e.spawn(func() { count(e.ctx) }) {
			e.o.Logger.Debug("a volume's size is not counted any more", "volume", name)
		}
	})
}

// WeighVolume answers VolumeSize, however long that takes to count.
func (e *Engine) WeighVolume(ctx context.Context, name string) int64 {
	return e.volumes.Weigh(ctx, name)
}

// KnownVolumeSize answers what VolumeSize found last, without looking.
func (e *Engine) KnownVolumeSize(name string) (int64, bool) { return e.volumes.Known(name) }

// ViewVolume opens a volume's files, with the owners they have in containers.
func (e *Engine) ViewVolume(name string) (*View, error) {
	v, err := e.volumes.Look(name)
	if err != nil {
		return nil, asError("view", err)
	}
	defer v.Dir.Close()
	tree, err := sys.CloneTree(v.Dir, false)
	if err == nil {
		err = sys.ChangeTree(tree, false, unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOSUID, nil)
	}
	if err != nil {
		closeAll(tree)
		return nil, fail("view", "", kindOfErrno(err), "the files of the volume %s cannot be opened: %w", name, err)
	}
	return &View{Dir: tree, Mark: v.Mark, Gone: v.Gone, Release: func() { tree.Close() }}, nil
}

// mayUse tells why a container may not have a volume: it acts with its owner's rights, and a volume is its maker's.
func mayUse(owner Owner, v *volume.Volume) error {
	if v.May(owner.UID) {
		return nil
	}
	return fail("", "", Denied, "the volume %s belongs to user %d, and the container acts with the rights of user %d", v.Name, v.UID, owner.UID)
}

// mayMount tells why a container may not have the volumes its settings name, as far as they are there yet.
func (e *Engine) mayMount(owner Owner, set values) error {
	mounts, err := set.mounts(&Image{})
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if v, ok := e.volumes.Find(m.Source); ok && m.Kind == volumeMount {
			if err := mayUse(owner, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// used are the names of the volumes among the container's mounts: those of its settings and those of its run.
func (s *supervisor) used() []string {
	var names []string
	add := func(mounts []mount) {
		for _, m := range mounts {
			name := m.Source
			if m.Anonymous {
				name = s.rec.Volumes[m.Target]
			}
			if m.Kind == volumeMount && name != "" {
				names = append(names, name)
			}
		}
	}
	if mounts, err := s.set.mounts(s.imageOrNone()); err == nil {
		add(mounts)
	}
	if s.st.State.Alive() && s.st.Run.Process != nil {
		add(s.st.Run.Process.Mounts)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// dropVolumes removes the volumes that go with a container which is removed: of one that never ran all that were made
// for it, of one that is thrown away after its run the anonymous ones. Those that another container uses stay, and so
// do those of any other container, as docker's do, until somebody prunes. So does a volume with a name that has files,
// which somebody may have put there, unless the container was only there to be started. It may be repeated.
func (e *Engine) dropVolumes(why origin, rec *record) {
	e.volumes.Leave(rec.ID)
	set, err := parseSettings(rec.Settings)
	throwaway := err == nil && set.flag("auto_remove")
	if rec.Started && !throwaway {
		return
	}
	for _, v := range e.volumes.List() {
		made := !rec.Started && v.MadeFor == rec.ID
		if !made && !(v.Anonymous && slices.Contains(slices.Collect(maps.Values(rec.Volumes)), v.Name)) {
			continue
		}
		err := e.volumes.Remove(e.ctx, v.Name, v.Anonymous || rec.Provisional)
		switch kind := kindOfErrno(err); {
		case err == nil:
			e.sayVolume(why, actDestroy, v.Name, v.UID)
		case kind != Busy && kind != NotEmpty && kind != NotFound:
			e.o.Logger.Error("a volume cannot be removed", "volume", v.Name, "container", rec.ID, "op", "remove", "err", err)
		}
	}
}
