package volume

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"hull/engine/internal/sys"
)

// New describes a volume to make.
type New struct {
	Name      string
	UID, GID  uint32
	Anonymous bool
	MadeFor   string
	// Volatile volumes are thrown away with their container: they need not outlive a power failure.
	Volatile bool
}

// Create makes a volume.
func (s *Store) Create(n New) (*Volume, error) {
	if err := CheckName(n.Name); err != nil {
		return nil, err
	}
	s.mu.Lock()
	if s.volumes[n.Name] != nil || s.making[n.Name] != nil {
		s.mu.Unlock()
		return nil, fail("create", n.Name, Exists, "there is a volume %s already", n.Name)
	}
	done := make(chan struct{})
	s.making[n.Name] = done
	s.mu.Unlock()
	v := Volume{Name: n.Name, UID: n.UID, GID: n.GID, Created: time.Now().Round(0), Anonymous: n.Anonymous, MadeFor: n.MadeFor}
	err := s.make(v, !n.Volatile)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.making, n.Name)
	close(done)
	if err != nil {
		return nil, failed("create", n.Name, err, "the volume %s cannot be made", n.Name)
	}
	h := newHeld()
	h.record = v
	s.volumes[n.Name] = h
	return s.shown(h), nil
}

// make stages the directory and renames it into its place.
func (s *Store) make(v Volume, durable bool) error {
	staging := s.path(newPrefix + NewName())
	err := stage(staging, v, durable)
	if err == nil {
		s.crash(PointStaged)
		err = os.Rename(staging, s.path(v.Name))
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(staging))
	}
	if durable {
		if err := sys.SyncDir(s.o.Dir); err != nil {
			return errors.Join(err, os.RemoveAll(s.path(v.Name)))
		}
	}
	s.crash(PointMade)
	return nil
}

func stage(dir string, v Volume, durable bool) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	data := filepath.Join(dir, dataDir)
	if err := os.Mkdir(data, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(data, 0o755); err != nil { // whatever the umask is
		return err
	}
	return write(dir, v, durable)
}

// staying is the volume of a name, or what there is of it if it is being removed.
func (s *Store) staying(name string) (*Volume, *held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch h := s.volumes[name]; {
	case h == nil:
		return nil, nil
	case h.leaving:
		return nil, h
	default:
		return s.shown(h), nil
	}
}

// Ensure answers the volume of a name, and makes it if there is none; made tells which.
func (s *Store) Ensure(ctx context.Context, n New) (v *Volume, made bool, err error) {
	for {
		v, leaving := s.staying(n.Name)
		switch {
		case leaving != nil: // and may stay after all
			if err := leaving.door.take(ctx); err != nil {
				return nil, false, failed("create", n.Name, err, "the wait for the volume %s was interrupted", n.Name)
			}
			leaving.door.give()
			continue
		case v != nil:
			return v, false, nil
		}
		v, err := s.Create(n)
		var e *Error
		if err == nil || !errors.As(err, &e) || e.Kind != Exists {
			return v, err == nil, err
		}
		s.mu.Lock()
		done := s.making[n.Name]
		s.mu.Unlock()
		if done == nil {
			continue
		}
		select {
		case <-done:
		case <-ctx.Done():
			return nil, false, failed("create", n.Name, ctx.Err(), "the wait for the volume %s was interrupted", n.Name)
		}
	}
}
