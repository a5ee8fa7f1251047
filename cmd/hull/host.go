package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"hull/engine/probe"
)

// host tells the tree about this hull and this machine.
type host struct {
	d *daemon
	// features are nil until they have been tried, which takes longer than a mount should.
	features atomic.Pointer[[]probe.Feature]
}

// probe tries the kernel's features, for info.
func (h *host) probe(ctx context.Context) {
	f := probe.Probe(ctx)
	h.features.Store(&f)
}

func (h *host) Version() string { return version }

// Info is flat text, "key value" a line.
func (h *host) Info() string {
	var b strings.Builder
	line := func(key string, value any) { fmt.Fprintf(&b, "%s %v\n", key, value) }
	line("version", version)
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		line("kernel", unix.ByteSliceToString(u.Release[:]))
		line("architecture", unix.ByteSliceToString(u.Machine[:]))
	}
	line("mount", h.d.Dir)
	line("store", h.d.Store)
	line("run", h.d.Run)
	line("images", len(h.d.store.List()))
	all, running := h.d.engine.List(), 0
	for _, c := range all {
		if c.State.Alive() {
			running++
		}
	}
	line("containers", len(all))
	line("containers.running", running)
	line("volumes", len(h.d.engine.Volumes()))
	line("networks", len(h.d.engine.Networks()))
	features := h.features.Load()
	if features == nil {
		return b.String()
	}
	for _, f := range *features {
		word := "yes"
		if f.Err != nil {
			word = "no"
		}
		line("feature."+strings.ReplaceAll(f.Name, " ", "-"), word)
	}
	return b.String()
}
