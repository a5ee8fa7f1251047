package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"hull/fs"
	"hull/layers"
)

// Disk is flat text, "key value" a line; sizes are in bytes. All but what the
// kernel is asked is known without looking: reading df is as cheap as any file. The
// sizes of volumes are those that were counted last.
func (h *host) Disk(ctx context.Context) string {
	var b strings.Builder
	line := func(key string, value any) { fmt.Fprintf(&b, "%s %v\n", key, value) }
	u := h.d.store.Usage()
	volumes := h.d.engine.Volumes()
	active, taken := 0, int64(0)
	for _, v := range volumes {
		n, _ := h.d.engine.KnownVolumeSize(v.Name)
		taken += n
		if len(v.Users) > 0 {
			active++
		}
	}
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
	line("volumes", len(volumes))
	line("volumes.active", active)
	line("volumes.bytes", taken)
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
	for _, v := range volumes {
		size := "unknown"
		if n, ok := h.d.engine.KnownVolumeSize(v.Name); ok {
			size = strconv.FormatInt(n, 10)
		}
		line("volume."+v.Name, fmt.Sprintf("bytes=%s containers=%d", size, len(v.Users)))
	}
	return b.String()
}

func namesOf(i layers.ImageUsage) []string {
	if len(i.Tags) == 0 {
		return []string{i.ID}
	}
	return i.Tags
}
