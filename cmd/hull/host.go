package main

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"hull/engine/probe"
)

// host tells the tree about this hull and this machine.
type host struct {
	d        *daemon
	features []probe.Feature
}

func newHost(d *daemon, features []probe.Feature) host { return host{d, features} }

func (h host) Version() string { return version }

// Info is flat text, "key value" a line.
func (h host) Info() string {
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
	for _, f := range h.features {
		word := "yes"
		if f.Err != nil {
			word = "no"
		}
		line("feature."+strings.ReplaceAll(f.Name, " ", "-"), word)
	}
	return b.String()
}
