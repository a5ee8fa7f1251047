// Package probe finds out what this kernel can do by trying it.
package probe

import "context"

// Feature is one thing the kernel can or cannot do.
type Feature struct {
	Name   string // "user namespaces"
	Needed bool   // hull cannot run without it
	Kernel string // first kernel that has it: "5.12"
	Err    error  // nil: it works
}

// Probe tries every feature.
func Probe(ctx context.Context) []Feature { return nil }
