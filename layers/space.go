package layers

import (
	"fmt"
	"os"
	"slices"
	"strings"

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
	Active     int   // images that containers keep
	Dangling   int   // images without tags
	Blobs      int   // manifests, configs and compressed layers kept
	Arriving   int64 // bytes in ingest/: of pulls under way, or to be resumed
	Spare      int64 // what Prune with All would free
	Free       int64 // of the disk
	Disk       int64
}

// Usage adds it up from memory; only Free, Disk, and what is arriving are asked of the kernel.
func (s *Store) Usage() Usage {
	free, disk, err := s.Free()
	if err != nil {
		free, disk = 0, 0 // the numbers are for people, who see from 0 that there is none
	}
	u := Usage{Free: free, Disk: disk, Arriving: s.arriving()}
	_, spare := s.prunable(PruneOptions{All: true}, nil)
	u.Spare = spare.Bytes
	s.mu.Lock()
	defer s.mu.Unlock()
	u.Images, u.Layers, u.Active, u.Blobs = len(s.images), len(s.layers), len(s.holders), len(s.blobs)
	for _, r := range s.names {
		if r.Reference == "" {
			u.Dangling++
		}
	}
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

// arriving is how many bytes lie in ingest/.
func (s *Store) arriving() (n int64) {
	entries, err := os.ReadDir(s.path("ingest"))
	if err != nil {
		return 0 // as with Free
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			n += info.Size()
		}
	}
	return n
}

// ImageUsage is what one image takes of the disk.
type ImageUsage struct {
	ID         string
	Tags       []string // sorted; none for one without
	Size       int64    // of its unpacked layers
	Shared     int64    // the part that other images have too
	Unique     int64    // the rest, which goes with the image
	Containers int      // that keep it
}

// ImageUsages is what every image takes, by ID.
func (s *Store) ImageUsages() []ImageUsage {
	s.mu.Lock()
	defer s.mu.Unlock()
	users := map[string]int{}
	for _, im := range s.images {
		for _, key := range im.stack() {
			users[key]++
		}
	}
	tags := make(map[string][]string, len(s.images))
	for name, r := range s.names {
		if r.Reference != "" && r.Image != nil {
			tags[r.Image.ID] = append(tags[r.Image.ID], name)
		}
	}
	list := make([]ImageUsage, 0, len(s.images))
	for id, im := range s.images {
		u := ImageUsage{ID: id, Tags: tags[id], Containers: len(s.holders[id])}
		slices.Sort(u.Tags)
		for _, key := range im.stack() {
			l := s.layers[key]
			switch {
			case l == nil:
			case users[key] > 1:
				u.Shared += l.Size
			default:
				u.Unique += l.Size
			}
		}
		u.Size = u.Shared + u.Unique
		list = append(list, u)
	}
	slices.SortFunc(list, func(a, b ImageUsage) int { return strings.Compare(a.ID, b.ID) })
	return list
}
