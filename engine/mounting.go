package engine

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
	"hull/engine/launch"
)

// What a start mounts in the container's root.

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
