package cgroup

import (
	"fmt"
	"os"
	"testing"
)

// BenchmarkGroup is what a container's cgroup costs its start, but for the attach.
func BenchmarkGroup(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("making cgroups needs root")
	}
	h, err := Detect()
	if err != nil {
		b.Fatal(err)
	}
	t := h.Tree(fmt.Sprintf("bench-%d", os.Getpid()))
	defer func() {
		if err := t.Remove(); err != nil {
			b.Error(err)
		}
	}()
	for b.Loop() {
		g, err := t.Create("web", Limits{Pids: 2048, PidsIfPossible: true, Devices: DefaultDevices()})
		if err != nil {
			b.Fatal(err)
		}
		files, err := g.Join()
		if err != nil {
			b.Fatal(err)
		}
		for _, f := range files {
			_ = f.Close()
		}
		if err := g.Remove(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
