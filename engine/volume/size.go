package volume

import (
	"context"
	"math"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// measure is what a volume's files were found to take.
type measure struct {
	known bool
	bytes int64
	took  time.Duration
	at    time.Time
	stale bool // a container has run with it since
	busy  bool // somebody counts
}

// fresh tells whether it need not be counted again: what takes long to count is counted more seldom.
func (m measure) fresh(now time.Time) bool {
	return m.known && !m.stale && now.Sub(m.at) < 100*m.took
}

// maxCounted is how many files are counted by a read of a size.
const maxCounted = 10_000

// Size answers how many bytes a volume's files take, as far as that can be told at once: false if it is not known yet.
// A volume of very many files is not walked through for a read: count is then given what does so, to do it in its own
// time, and the size is the last one known.
func (s *Store) Size(ctx context.Context, name string, count func(func(context.Context))) (int64, bool) {
	s.mu.Lock()
	h := s.volumes[name]
	if h == nil {
		s.mu.Unlock()
		return 0, false
	}
	m := h.size
	if m.busy || m.fresh(time.Now()) {
		s.mu.Unlock()
		return m.bytes, m.known
	}
	h.size.busy = true
	s.mu.Unlock()
	begin := time.Now()
	bytes, whole := weigh(ctx, s.path(name, dataDir), s.most)
	if whole {
		s.measured(h, bytes, begin)
		return bytes, true
	}
	count(func(ctx context.Context) {
		bytes, whole := weigh(ctx, s.path(name, dataDir), math.MaxInt)
		if whole {
			s.measured(h, bytes, begin)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		h.size.busy = false
	})
	return m.bytes, m.known
}

// Weigh counts how many bytes a volume's files take, however long that takes.
func (s *Store) Weigh(ctx context.Context, name string) int64 {
	bytes, _ := weigh(ctx, s.path(name, dataDir), math.MaxInt)
	return bytes
}

// Known answers the size that was found last, without looking.
func (s *Store) Known(name string) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.volumes[name]
	if h == nil {
		return 0, false
	}
	return h.size.bytes, h.size.known
}

func (s *Store) measured(h *held, bytes int64, begin time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	h.size = measure{known: true, bytes: bytes, took: now.Sub(begin), at: now}
}

// weigh adds up the files below a directory, at most so many; A container may be moving them about
// meanwhile: nothing is followed, and what cannot be seen does not count.
func weigh(ctx context.Context, dir string, most int) (bytes int64, whole bool) {
	top, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, true
	}
	defer unix.Close(top)
	for todo := []string{"."}; len(todo) > 0; {
		name := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		fd, err := in(top, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			continue
		}
		at := os.NewFile(uintptr(fd), name)
		for {
			names, err := at.Readdirnames(256)
			for _, n := range names {
				var st unix.Stat_t
				if unix.Fstatat(fd, n, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
					continue
				}
				switch st.Mode & unix.S_IFMT {
				case unix.S_IFREG:
					bytes += st.Size
				case unix.S_IFDIR:
					todo = append(todo, path.Join(name, n))
				}
			}
			if most -= len(names); most < 0 || ctx.Err() != nil {
				at.Close()
				return bytes, false
			}
			if err != nil {
				break
			}
		}
		at.Close()
	}
	return bytes, true
}
