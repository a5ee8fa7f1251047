package engine

import (
	"context"
	"os"
)

// overlayRoots makes real overlays of one directory.
type overlayRoots struct {
	*testRoots
	lower string
}

func (r *overlayRoots) Mount(ctx context.Context, imageID string, upper, users *os.File, base uint32, readOnly bool) (*os.File, error) {
	return r.testRoots.Mount(ctx, imageID, upper, users, base, readOnly)
}
