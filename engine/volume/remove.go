package volume

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
)

// Remove removes a volume that no container uses. One with files in it stays, unless all is set: it goes with them.
func (s *Store) Remove(ctx context.Context, name string, all bool) error {
	h, err := s.removable(name)
	if err != nil {
		return err
	}
	if err := s.shut(ctx, "remove", h); err != nil {
		return err
	}
	gone, err := s.remove(h, all)
	h.door.give()
	if !gone {
		return err
	}
	if err := sys.SyncDir(s.o.Dir); err != nil {
		s.o.Logger.Error("a removal may not survive a power failure", "volume", name, "op", "remove", "err", err)
	}
	return nil
}

// removable answers a volume that no container uses.
func (s *Store) removable(name string) (*held, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.volumes[name]
	switch {
	case h == nil:
		return nil, fail("remove", name, NotFound, "there is no volume %s", name)
	case s.used(h):
		return nil, inUse(name)
	}
	return h, nil
}

// used tells whether a container has a volume or runs with it. The caller holds mu.
func (s *Store) used(h *held) bool { return len(s.usersOf(h))+len(h.mounted) > 0 }

// remove is Remove. The caller has the volume's door, so nobody begins to run with it meanwhile.
func (s *Store) remove(h *held, all bool) (gone bool, err error) {
	name := h.record.Name
	s.mu.Lock()
	h.leaving = !s.used(h)
	s.mu.Unlock()
	if !h.leaving {
		return false, inUse(name)
	}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if h.leaving = false; gone {
			delete(s.volumes, name)
		}
	}()
	if !all {
		// The kernel's own check: what somebody puts into it at this moment is either seen or has no place any more.
		switch err := unix.Rmdir(s.path(name, dataDir)); {
		case errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.EEXIST):
			return false, notEmpty(name)
		case err != nil:
			return false, failed("remove", name, err, "the volume %s cannot be removed", name)
		}
		s.crash(PointEmptied)
	}
	err = s.throw(name)
	if err != nil && all {
		return false, failed("remove", name, err, "the volume %s cannot be removed", name)
	}
	if err != nil { // without data it is none, and the next Open clears it away
		s.o.Logger.Warn("what is left of a removed volume cannot be moved away", "volume", name, "op", "remove", "err", err)
	}
	s.crash(PointRemoved)
	return true, nil
}

// Spare is what Remove without all would say now.
func (s *Store) Spare(name string) error {
	if _, err := s.removable(name); err != nil {
		return err
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
