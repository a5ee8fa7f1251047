package layers

import (
	"context"
	"os"
	"slices"
	"strings"
)

// PruneOptions say what goes.
type PruneOptions struct {
	All    bool   // also images with tags that no container keeps, not only those without
	Unheld bool   // only images that go with their last container: without tags, and kept by nothing else
	DryRun bool   // only say what would go
	By     uint32 // uid of who asks
	// Leaving are containers, by ID, that keep nothing, for a DryRun: they are about
	// to be removed.
	Leaving []string
}

// PruneResult is what went, or would go.
type PruneResult struct {
	RemoveResult
	Dropped []string // familiar references that have no image, because their pull failed or was cancelled
	Bytes   int64    // on the disk: unpacked layers, blobs, and what has come of those
}

// Prune removes images that nobody uses: those without tags that no container
// keeps, and with All every image that no container keeps. What is being pulled or
// pushed stays. The place of a pull that failed, or was cancelled, goes with what has
// come: nothing else would ever take that away from who has forgotten it.
func (s *Store) Prune(ctx context.Context, o PruneOptions) (PruneResult, error) {
	if err := s.lockChange(ctx); err != nil {
		return PruneResult{}, wrap("prune", s.dir, err)
	}
	defer s.unlockChange()
	leaving := map[string]bool{}
	if o.DryRun {
		for _, container := range o.Leaving {
			leaving[container] = true
		}
	}
	going, result := s.prunable(o, leaving)
	if o.DryRun || len(going) == 0 {
		return result, nil
	}
	done, err := s.removeRecords(going, o.By)
	if err != nil {
		return PruneResult{RemoveResult: done}, err
	}
	done.Untagged = slices.DeleteFunc(done.Untagged, func(name string) bool { return slices.Contains(result.Dropped, name) })
	result.RemoveResult = done
	slices.Sort(result.Deleted)
	return result, nil
}

// prunable are the names of the records that would go, and what that would do, if the
// containers that are leaving kept nothing.
func (s *Store) prunable(o PruneOptions, leaving map[string]bool) (going []string, result PruneResult) {
	s.mu.Lock()
	defer s.mu.Unlock()
	without := map[string]bool{}
	for name, r := range s.names {
		if s.pulls[name] != nil || s.pushes[name] != nil || r.Status == Pulling || !o.means(r) ||
			r.Image != nil && s.heldBeside(r.Image.ID, leaving) {
			continue
		}
		without[name] = true
		going = append(going, name)
		switch {
		case r.Image == nil:
			result.Dropped = append(result.Dropped, name)
		case r.Reference != "":
			result.Untagged = append(result.Untagged, name)
		}
	}
	if !s.whole || !s.swept {
		return nil, PruneResult{} // it is not known yet what containers need
	}
	slices.SortFunc(going, strings.Compare)
	slices.Sort(result.Untagged)
	slices.Sort(result.Dropped)
	now, then := s.reachable(nil), s.reachable(without)
	for id := range now.images {
		if !then.images[id] {
			result.Deleted = append(result.Deleted, id)
		}
	}
	slices.Sort(result.Deleted)
	if then.interrupted {
		return going, result
	}
	for key, l := range s.layers {
		if now.layers[key] && !then.layers[key] {
			result.Bytes += l.Size
		}
	}
	for digest, size := range s.blobs {
		if now.blobs[digest] && !then.blobs[digest] {
			result.Bytes += size
		}
	}
	for digest := range now.ingest {
		if !then.partials && !then.ingest[digest] {
			result.Bytes += s.arrived(digest)
		}
	}
	return going, result
}

// arrived is how much has come of a blob that is not here yet.
func (s *Store) arrived(digest string) int64 {
	path, err := s.ingestPath(digest)
	if err != nil {
		return 0
	}
	info, err := os.Lstat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// means says whether it is about such a record, if no container has its image.
func (o PruneOptions) means(r *record) bool {
	switch {
	case o.Unheld:
		return r.Image != nil && r.Reference == "" && !r.Kept
	case r.Image == nil:
		return r.Lost == nil && !r.rebuilt && r.Status == Failed // the others wait for a repair
	}
	return r.Reference == "" || o.All
}

// heldBeside says whether a container keeps the image that is not among those. The
// caller holds mu.
func (s *Store) heldBeside(imageID string, those map[string]bool) bool {
	for container := range s.holders[imageID] {
		if !those[container] {
			return true
		}
	}
	return false
}
