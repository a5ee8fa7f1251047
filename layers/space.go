package layers

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Free is how many bytes of the store's disk are free for pulls and how many
// there are, as df counts them.
func (s *Store) Free() (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(s.dir, &st); err != nil {
		return 0, 0, wrap("free", s.dir, err)
	}
	// Bavail leaves out what only root may use, so that total is what df calls
	// used and available together.
	used := st.Blocks - st.Bfree
	return int64(st.Bavail) * st.Bsize, int64(used+st.Bavail) * st.Bsize, nil
}

// room fails if the disk would have less than FreePercent free once need more
// bytes are on it.
func (s *Store) room(op, name string, need int64) error {
	if s.o.FreePercent < 0 {
		return nil
	}
	free, total, err := s.Free()
	if err != nil {
		return err
	}
	spare := total / 100 * int64(s.o.FreePercent)
	if free-need >= spare {
		return nil
	}
	why := fmt.Sprintf("of the disk of %s %s are free", s.dir, bytesOf(max(free, 0)))
	if need > 0 {
		why += fmt.Sprintf(", %s more are needed", bytesOf(need))
	}
	return failf(op, name, Space, "%s, and pulls leave %d %% (%s) free; remove images or containers, or make room on that disk",
		why, s.o.FreePercent, bytesOf(spare))
}

// Usage is what the store takes of the disk.
type Usage struct {
	Images     int   // distinct IDs
	Layers     int   // stored layers
	LayerBytes int64 // of their files
	BlobBytes  int64 // of manifests, configs and compressed layers kept
	Shared     int64 // what shared layers would take in addition if each image had its own
	Free       int64 // of the disk
	Disk       int64
}

// Usage adds it up from memory; only Free and Disk are asked of the kernel.
func (s *Store) Usage() Usage {
	free, disk, err := s.Free()
	if err != nil {
		free, disk = 0, 0 // the numbers are for people, who see from 0 that there is none
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u := Usage{Images: len(s.images), Layers: len(s.layers), Free: free, Disk: disk}
	for _, l := range s.layers {
		u.LayerBytes += l.Size
	}
	for _, size := range s.blobs {
		u.BlobBytes += size
	}
	seen := make(map[string]bool, len(s.layers))
	for _, im := range s.images {
		for _, key := range im.stack() {
			if l := s.layers[key]; l != nil && seen[key] {
				u.Shared += l.Size
			}
			seen[key] = true
		}
	}
	return u
}
