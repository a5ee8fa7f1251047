package engine

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
	"hull/engine/launch"
	"hull/engine/volume"
)

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

// openHosts opens the paths of the host that a start mounts.
func (l *launching) openHosts() error {
	s := l.s
	for _, m := range l.note.Process.Mounts {
		if m.Kind != bindMount {
			continue
		}
		f, err := s.openHost(m, hostPatience)
		if err != nil {
			return err
		}
		l.hosts = append(l.hosts, f)
	}
	return nil
}

// hostPatience is how long the opening of a path of the host may take: it may lie on a server that does not answer.
const hostPatience = 10 * time.Second

// openHost opens a path of the host with the rights of the container's owner. A process of its own does so: the path
// may lead to a file system that does not answer, hull's own above all.
func (s *supervisor) openHost(m mount, patience time.Duration) (*os.File, error) {
	ctx, cancel := context.WithTimeout(s.e.ctx, patience)
	defer cancel()
	owner := s.rec.Owner
	f, err := s.e.parts.launcher.OpenHost(ctx, launch.HostPath{Path: m.Source, UID: owner.UID, GID: owner.GID})
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, unix.ENOENT):
		return nil, fail("start", s.id, NotFound, "there is no %s on the host to mount at %s; make it first", m.Source, m.Target)
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ENAMETOOLONG):
		return nil, fail("start", s.id, Invalid, "%s on the host cannot be mounted at %s: a part of that path is no directory, or has too long a name", m.Source, m.Target)
	case errors.Is(err, unix.ELOOP):
		return nil, fail("start", s.id, Invalid, "%s on the host cannot be mounted at %s: it leads in a circle, or through a link of the kernel's (as /proc/self/cwd); name the path itself", m.Source, m.Target)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return nil, fail("start", s.id, Denied, "user %d, whose the container is, may not reach %s on the host", owner.UID, m.Source)
	case ctx.Err() != nil && s.e.ctx.Err() == nil:
		return nil, fail("start", s.id, System, "%s on the host does not answer within %v", m.Source, patience)
	}
	return nil, fail("start", s.id, kindOfErrno(err), "%s on the host cannot be opened: %w", m.Source, err)
}

// mountAll makes what goes into the container's root: volumes and the host's files as mounts whose ids are the
// container's. The files that are answered are the caller's.
func (l *launching) mountAll(users *os.File) (list []launch.Mount, err error) {
	s, volumes, hosts := l.s, l.trees, l.hosts
	as := mountedAs{users: users, first: l.note.Range, devices: l.note.Process.Privileges.Privileged}
	defer func() {
		if err != nil {
			for _, m := range list {
				closeAll(m.Tree)
			}
			list = nil
		}
	}()
	for _, m := range l.note.Process.Mounts {
		out := launch.Mount{Target: m.Target, ReadOnly: m.ReadOnly, Options: m.Options, Own: m.Kind != bindMount && !m.ReadOnly}
		switch m.Kind {
		case volumeMount:
			out.Tree, err = s.mountTree(volumes[0], m, as)
			volumes = volumes[1:]
		case bindMount:
			out.Tree, err = s.mountHost(hosts[0], m, as)
			hosts = hosts[1:]
		case tmpfsMount:
		}
		if err != nil {
			return list, err
		}
		list = append(list, out)
	}
	return list, nil
}

// mountedAs says how a container sees what is mounted in it.
type mountedAs struct {
	users   *os.File // its user namespace, nil with the host's users
	first   uint32   // first host id of that
	devices bool     // device nodes are devices
}

// mountTree makes a mount of a directory or file, whose ids are a container's.
func (s *supervisor) mountTree(f *os.File, m mount, as mountedAs) (*os.File, error) {
	below := m.Kind == bindMount && !m.Alone
	tree, err := sys.CloneTree(f, below)
	if err == nil {
		flags := uint64(0)
		if !as.devices {
			flags |= unix.MOUNT_ATTR_NODEV
		}
		if m.ReadOnly {
			flags |= unix.MOUNT_ATTR_RDONLY
		}
		err = sys.ChangeTree(tree, below, flags, as.users)
	}
	if err == nil {
		return tree, nil
	}
	closeAll(tree)
	if as.users != nil && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM)) {
		what := "the file system of " + m.Source
		if below {
			what += ", or one that is mounted below it,"
		}
		return nil, fail("start", s.id, Unsupported,
			"%s cannot show files to a container's own users (no id-mapped mounts: %w); bind-recursive=disabled leaves out what is mounted below, and config/userns host gives the container the host's users", what, err)
	}
	return nil, fail("start", s.id, kindOfErrno(err), "%s cannot be mounted at %s: %w", m.Source, m.Target, err)
}

// mountHost makes a mount of the host's files. Root's are mapped id for id; to another owner's container, its root is
// that owner, and its other users are the owner's subordinate ids, as far as there are any.
func (s *supervisor) mountHost(f *os.File, m mount, as mountedAs) (*os.File, error) {
	owner := s.rec.Owner
	if as.users == nil || owner.Root() {
		return s.mountTree(f, m, as)
	}
	mapped, err := s.e.parts.launcher.OwnerUsers(s.e.ctx, as.first, rangeSize, owner.UID, owner.GID)
	if err != nil {
		return nil, err
	}
	defer closeAll(mapped)
	as.users = mapped
	return s.mountTree(f, m, as)
}
