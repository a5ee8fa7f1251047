package engine

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
	"hull/engine/volume"
)

// The volumes of a start: those that are missing are made, and empty ones get the files that the image has there.

// fillPatience is how long a start lets everybody wait for files to be copied into its volumes. One that takes longer is
// accepted, and goes on behind the container's status: a mkdir is to be quick.
const fillPatience = 500 * time.Millisecond

// fillAndLaunch starts the container when its volumes are there and have what they are to have.
func (s *supervisor) fillAndLaunch(image *Image, b *boarding, answer func(error)) {
	fill, err := s.filling(image)
	if fill == nil && err == nil {
		answer(s.launch(image, b))
		return
	}
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(s.e.ctx)
	if err == nil && !s.e.spawn(func() { done <- fill(ctx) }) {
		err = s.endedError("start")
	}
	if err == nil {
		select {
		case err = <-done:
		case <-time.After(s.e.fillWithin):
			s.wait(b, answer, func(waiting context.Context) error {
				defer cancel()
				select {
				case err := <-done:
					return err
				case <-waiting.Done():
					return waiting.Err()
				}
			})
			s.waiting.filled = true
			return
		}
	}
	cancel()
	if err != nil {
		s.startFailed(err)
		answer(err)
		return
	}
	answer(s.launch(image, b))
}

// filling gives what makes the volumes that a start needs and that are not there, and fills those that are empty and
// new to the container with what the image has in their places; nil if there is nothing to do. The record names the
// volumes before they are made, so that none is left that nobody knows of.
func (s *supervisor) filling(image *Image) (func(ctx context.Context) error, error) {
	mounts, err := s.namedMounts(image)
	if err != nil {
		return nil, err
	}
	var list []mount
	for _, m := range mounts {
		if _, ok := s.e.volumes.Find(m.Source); m.Kind == volumeMount && (!ok || !m.NoCopy && !s.ranWith(m)) {
			list = append(list, m)
		}
	}
	if len(list) == 0 {
		return nil, nil
	}
	owner, volatile, why := s.rec.Owner, s.set.flag("auto_remove"), s.why
	s.e.volumes.Use(s.id, s.rec.Owner.UID, s.used()) // from here on nobody removes them
	return func(ctx context.Context) error {
		ctx = withOrigin(ctx, why)
		for _, m := range list {
			n := volume.New{Name: m.Source, UID: owner.UID, GID: owner.GID, Anonymous: m.Anonymous, MadeFor: s.id, Volatile: volatile && m.Anonymous}
			if err := s.e.fillVolume(ctx, n, m, image); err != nil {
				return asError("start", err)
			}
		}
		return nil
	}, nil
}

// namedMounts are the mounts of a start, in which anonymous volumes have got names.
func (s *supervisor) namedMounts(image *Image) ([]mount, error) {
	mounts, err := s.set.mounts(image)
	if err != nil {
		return nil, fail("start", s.id, Invalid, "the mounts of the container cannot be made: %w", err)
	}
	named := map[string]string{}
	for i := range mounts {
		if m := &mounts[i]; m.Anonymous {
			if m.Source = s.rec.Volumes[m.Target]; m.Source == "" {
				m.Source = volume.NewName()
			}
			named[m.Target] = m.Source
		}
	}
	if maps.Equal(named, s.rec.Volumes) {
		return mounts, nil
	}
	rec := *s.rec
	rec.Volumes = named
	if err := s.keep(&rec, s.set); err != nil {
		return nil, err
	}
	s.e.crash(volumesNamed)
	return mounts, nil
}

// fillVolume makes a volume if there is none, and fills it.
func (e *Engine) fillVolume(ctx context.Context, n volume.New, m mount, image *Image) error {
	v, made, err := e.volumes.Ensure(ctx, n)
	if err != nil {
		return err
	}
	if made {
		e.sayVolume(e.origin(ctx), actCreate, v.Name, v.UID)
	}
	if err := mayUse(Owner{UID: n.UID, GID: n.GID}, v); err != nil || m.NoCopy {
		return err
	}
	return e.volumes.Fill(ctx, m.Source, func(ctx context.Context) (*os.File, error) { return e.imageDir(ctx, image, m.Target) })
}

// takeVolumes opens the volumes among the mounts for the run.
func (l *launching) takeVolumes() error {
	s := l.s
	for i := range l.note.Process.Mounts {
		m := &l.note.Process.Mounts[i]
		if m.Kind != volumeMount {
			continue
		}
		if m.Anonymous {
			m.Source = s.rec.Volumes[m.Target]
		}
		v, ok := s.e.volumes.Find(m.Source)
		if !ok {
			return fail("start", s.id, NotFound, "the volume %s was removed while the container was started", m.Source)
		}
		if err := mayUse(s.rec.Owner, v); err != nil {
			return err
		}
		dir, err := s.e.volumes.Take(s.e.ctx, m.Source, s.id)
		if err != nil {
			return asError("start", err)
		}
		l.onFailure(func() { s.e.volumes.Give(m.Source, s.id) })
		l.trees = append(l.trees, dir)
	}
	return nil
}

// ranWith tells whether a volume was among the mounts of the last run.
func (s *supervisor) ranWith(m mount) bool {
	p := s.st.Run.Process
	return p != nil && slices.ContainsFunc(p.Mounts, func(o mount) bool {
		return o.Kind == volumeMount && o.Source == m.Source && o.Target == m.Target
	})
}

// ranAt tells whether something was mounted at a place in the last run.
func (s *supervisor) ranAt(target string) bool {
	p := s.st.Run.Process
	return p != nil && slices.ContainsFunc(p.Mounts, func(o mount) bool { return o.Target == target })
}

// imageDir opens a directory of the image, with owners as they are on disk; nil if there is none.
func (e *Engine) imageDir(ctx context.Context, image *Image, target string) (*os.File, error) {
	root, err := e.o.Roots.Mount(ctx, image.ID, nil, nil, 0, true)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	dir, err := sys.OpenIn(root, strings.TrimPrefix(target, "/"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, nil //nolint:nilerr // no directory, or a link that leads nowhere: nothing to copy
	}
	return dir, nil
}

// giveVolumes says that a run with these mounts has ended.
func (s *supervisor) giveVolumes(mounts []mount) {
	for _, m := range mounts {
		if m.Kind == volumeMount {
			s.e.volumes.Give(m.Source, s.id)
		}
	}
}
