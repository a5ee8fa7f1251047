package main

import (
	"context"
	"fmt"
	"strings"

	"hull/fs"
	"hull/layers"
)

// Disk is flat text, "key value" a line; sizes are in bytes. All but what the
// kernel is asked is known without looking: reading df is as cheap as any file.
func (h *host) Disk(ctx context.Context) string {
	var b strings.Builder
	line := func(key string, value any) { fmt.Fprintf(&b, "%s %v\n", key, value) }
	u := h.d.store.Usage()
	line("images", u.Images)
	line("images.active", u.Active)
	line("images.dangling", u.Dangling)
	line("images.reclaimable.bytes", u.Spare)
	line("layers", u.Layers)
	line("layers.bytes", u.LayerBytes)
	line("layers.shared.bytes", u.Shared)
	line("blobs", u.Blobs)
	line("blobs.bytes", u.BlobBytes)
	line("arriving.bytes", u.Arriving)
	line("containers", len(h.d.engine.List()))
	line("containers.running", len(h.d.running()))
	line("disk.free.bytes", u.Free)
	line("disk.bytes", u.Disk)
	by, _ := fs.By(ctx)
	for _, i := range h.d.store.ImageUsages() {
		for _, name := range namesOf(i) {
			if h.d.tree.May(by, "images/"+name+"/size", fs.Read) != nil {
				continue
			}
			line("image."+name, fmt.Sprintf("bytes=%d shared=%d unique=%d containers=%d", i.Size, i.Shared, i.Unique, i.Containers))
		}
	}
	return b.String()
}

func namesOf(i layers.ImageUsage) []string {
	if len(i.Tags) == 0 {
		return []string{i.ID}
	}
	return i.Tags
}
