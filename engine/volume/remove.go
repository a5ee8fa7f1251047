package volume

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
)

// Remove removes a volume that no container uses. One with files in it stays, unless all is set: it goes with them.
func (s *Store) Remove(name string, all bool) error {
	s.mu.Lock()
	err := s.remove(name, all)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if err := sys.SyncDir(s.o.Dir); err != nil {
		s.o.Logger.Error("a removal may not survive a power failure", "volume", name, "op", "remove", "err", err)
	}
	return nil
}

// remove is Remove. The caller holds mu, so nobody begins to use the volume meanwhile.
func (s *Store) remove(name string, all bool) error {
	h := s.volumes[name]
	switch {
	case h == nil:
		return fail("remove", name, NotFound, "there is no volume %s", name)
	case len(s.usersOf(h))+len(h.mounted) > 0:
		return inUse(name)
	}
	if !all {
		// The kernel's own check: what somebody puts into it at this moment is either seen or has no place any more.
		switch err := unix.Rmdir(s.path(name, dataDir)); {
		case errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.EEXIST):
			return notEmpty(name)
		case err != nil:
			return failed("remove", name, err, "the volume %s cannot be removed", name)
		}
		s.crash(PointEmptied)
	}
	err := s.throw(name)
	if err != nil && all {
		return failed("remove", name, err, "the volume %s cannot be removed", name)
	}
	delete(s.volumes, name)
	if err != nil { // without data it is none, and the next Open clears it away
		s.o.Logger.Warn("what is left of a removed volume cannot be moved away", "volume", name, "op", "remove", "err", err)
	}
	s.crash(PointRemoved)
	return nil
}

// Spare is what Remove without all would say now.
func (s *Store) Spare(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.volumes[name]
	switch {
	case h == nil:
		return fail("remove", name, NotFound, "there is no volume %s", name)
	case len(s.usersOf(h))+len(h.mounted) > 0:
		return inUse(name)
	}
	data, err := s.open(name)
	if err != nil {
		return err
	}
	defer data.Close()
	if _, err := data.Readdirnames(1); !errors.Is(err, io.EOF) {
		return notEmpty(name)
	}
	return nil
}

func inUse(name string) error {
	return fail("remove", name, Busy, "the volume %s is used by a container", name)
}

func notEmpty(name string) error {
	return fail("remove", name, NotEmpty, "the volume %s has files in it; echo remove > volumes/%s/ctl removes it with them", name, name)
}

// throw moves a volume's directory away, and has it deleted.
func (s *Store) throw(name string) error {
	gone := s.path(gonePrefix + NewName())
	if err := os.Rename(s.path(name), gone); err != nil {
		return err
	}
	s.o.Discard(gone)
	return nil
}

// discard moves a part of a volume away, and has it deleted.
func (s *Store) discard(path string) {
	gone := s.path(gonePrefix + NewName())
	if err := os.Rename(path, gone); err != nil {
		s.o.Logger.Error("what is left of a copy cannot be moved away", "path", path, "op", "fill", "err", err)
		return
	}
	s.o.Discard(gone)
}
