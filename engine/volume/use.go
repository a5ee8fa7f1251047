package volume

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// View is a volume's files as a directory to walk in.
type View struct {
	Dir  *os.File // the caller's to close
	Gone func() bool
	Mark uint64 // another one means that Dir is another directory than that of an earlier view of the same volume
}

// Look opens a volume's files.
func (s *Store) Look(name string) (*View, error) {
	for {
		s.mu.Lock()
		h := s.volumes[name]
		if h == nil {
			s.mu.Unlock()
			return nil, fail("view", name, NotFound, "there is no volume %s", name)
		}
		fills := h.fills
		s.mu.Unlock()
		gone := func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.volumes[name] != h || h.fills != fills
		}
		dir, err := s.open(name)
		if !gone() {
			switch {
			case errors.Is(err, os.ErrNotExist): // it is being removed
				return nil, fail("view", name, NotFound, "there is no volume %s", name)
			case err != nil:
				return nil, err
			}
			return &View{Dir: dir, Mark: fills, Gone: gone}, nil
		}
		if err == nil { // it has been another's by then
			dir.Close()
		}
	}
}

func (s *Store) open(name string) (*os.File, error) {
	fd, err := unix.Open(s.path(name, dataDir), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, failed("open", name, err, "the files of the volume %s cannot be opened", name)
	}
	return os.NewFile(uintptr(fd), s.path(name, dataDir)), nil
}

// Mark is what a View of the volume would have, and when it was made; false if there is none.
func (s *Store) Mark(name string) (mark uint64, made int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.volumes[name]
	if h == nil {
		return 0, 0, false
	}
	return h.fills, h.record.Created.UnixNano(), true
}

// Source gives a directory whose files an empty volume gets; nil if there is none. It is closed when they are copied.
type Source func(ctx context.Context) (*os.File, error)

// Fill gives a volume the files of a source, all or none of them, if it is empty and no container runs with it.
func (s *Store) Fill(ctx context.Context, name string, from Source) error {
	h, err := s.enter(ctx, name)
	if err != nil {
		return err
	}
	defer h.gate.give()
	s.mu.Lock()
	alone := len(h.mounted) == 0
	s.mu.Unlock()
	if !alone {
		return nil
	}
	return s.fill(ctx, h, from)
}

// enter waits until nobody fills a volume, and keeps others from it.
func (s *Store) enter(ctx context.Context, name string) (*held, error) {
	s.mu.Lock()
	h := s.volumes[name]
	s.mu.Unlock()
	if h == nil {
		return nil, fail("open", name, NotFound, "there is no volume %s", name)
	}
	if err := h.gate.take(ctx); err != nil {
		return nil, failed("open", name, err, "the wait for the volume %s was interrupted", name)
	}
	return h, nil
}

// shut waits until nobody does anything with a volume's directory, and keeps others from that. It stays there as long.
func (s *Store) shut(ctx context.Context, op string, h *held) error {
	name := h.record.Name
	if err := h.door.take(ctx); err != nil {
		return failed(op, name, err, "the wait for the volume %s was interrupted", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.volumes[name] != h {
		h.door.give()
		return fail(op, name, NotFound, "the volume %s has been removed", name)
	}
	return nil
}

// Take opens a volume's files for a container that is about to run with them, until Give.
func (s *Store) Take(ctx context.Context, name, container string) (*os.File, error) {
	h, err := s.enter(ctx, name)
	if err != nil {
		return nil, err
	}
	defer h.gate.give()
	if err := s.shut(ctx, "open", h); err != nil {
		return nil, err
	}
	defer h.door.give()
	dir, err := s.open(name)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		h.mounted[container] = true
	}
	return dir, err
}

// Resume notes that a container runs with a volume, whose start an earlier Store has seen.
func (s *Store) Resume(name, container string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.volumes[name]; h != nil {
		h.mounted[container] = true
	}
}

// Give notes that a container does not run with a volume any more.
func (s *Store) Give(name, container string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.volumes[name]; h != nil {
		delete(h.mounted, container)
		h.size.stale = true
	}
}

// Leave notes that a container, which is no more, has and runs with no volume.
func (s *Store) Leave(container string) {
	s.Use(container, 0, nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.volumes {
		delete(h.mounted, container)
	}
}

// fill is Fill. The caller has the volume's gate.
func (s *Store) fill(ctx context.Context, h *held, from Source) error {
	name := h.record.Name
	data, err := s.open(name)
	if err != nil {
		return err
	}
	defer data.Close()
	if _, err := data.Readdirnames(1); !errors.Is(err, io.EOF) {
		return nil // there is something in it, or that cannot be known
	}
	source, err := from(ctx)
	if err != nil || source == nil {
		return err
	}
	defer source.Close()
	seed := s.path(name, seedPrefix+NewName()) // a removed volume may have a successor before this ends
	if err := s.copy(ctx, name, source, seed); err != nil {
		return err
	}
	s.crash(PointCopied)
	err = s.place(ctx, h, seed)
	if err == nil {
		s.crash(PointFilled)
		return nil
	}
	if exists(seed) {
		s.discard(seed)
	}
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) { // somebody has put something into it meanwhile
		return nil
	}
	return err
}

// place makes a copy the data of a volume that has none.
func (s *Store) place(ctx context.Context, h *held, seed string) error {
	if err := s.shut(ctx, "fill", h); err != nil {
		return err
	}
	defer h.door.give()
	name := h.record.Name
	if err := unix.Rename(seed, s.path(name, dataDir)); err != nil {
		return failed("fill", name, err, "the volume %s cannot be given the image's files", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h.fills++
	h.size = measure{}
	return nil
}

// copy makes a directory of another.
func (s *Store) copy(ctx context.Context, name string, source *os.File, seed string) error {
	err := os.Mkdir(seed, 0o700)
	var to *os.File
	if err == nil {
		to, err = os.Open(seed)
	}
	if err == nil {
		defer to.Close()
		err = copyTree(ctx, source, to)
	}
	if err == nil {
		err = os.NewSyscallError("syncfs", unix.Syncfs(int(to.Fd())))
	}
	if err != nil {
		if exists(seed) {
			s.discard(seed)
		}
		return failed("fill", name, err, "the image's files cannot be copied into the volume %s", name)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
