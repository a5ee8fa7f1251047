package layers

import (
	"context"
	"slices"
	"strings"
)

// PruneOptions say what goes.
type PruneOptions struct {
	All    bool   // also images with tags that no container keeps, not only those without
	DryRun bool   // only say what would go
	By     uint32 // uid of who asks
	// Leaving are containers, by ID, that keep nothing, for a DryRun: they are about
	// to be removed.
	Leaving []string
}

// PruneResult is what went, or would go.
type PruneResult struct {
	RemoveResult
	Bytes int64 // on the disk: unpacked layers and blobs
}

// Prune removes images that nobody uses: those without tags that no container
// keeps, and with All every image that no container keeps. What is being pulled or
// pushed stays, and so does the place of a pull that failed.
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
	going, result := s.prunable(o.All, leaving)
	if o.DryRun || len(going) == 0 {
		return result, nil
	}
	done, err := s.removeRecords(going, o.By)
	if err != nil {
		return PruneResult{RemoveResult: done}, err
	}
	result.RemoveResult = done
	slices.Sort(result.Deleted)
	return result, nil
}

// prunable are the names of the records that would go, and what that would do, if the
// containers that are leaving kept nothing.
func (s *Store) prunable(all bool, leaving map[string]bool) (going []string, result PruneResult) {
	s.mu.Lock()
	defer s.mu.Unlock()
	without := map[string]bool{}
	for name, r := range s.names {
		if r.Image == nil || s.heldBeside(r.Image.ID, leaving) || s.pulls[name] != nil || s.pushes[name] != nil ||
			r.Status == Pulling || (r.Reference != "" && !all) {
			continue
		}
		without[name] = true
		going = append(going, name)
		if r.Reference != "" {
			result.Untagged = append(result.Untagged, name)
		}
	}
	if !s.whole || !s.swept {
		return nil, PruneResult{} // it is not known yet what containers need
	}
	slices.SortFunc(going, strings.Compare)
	slices.Sort(result.Untagged)
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
	return going, result
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
