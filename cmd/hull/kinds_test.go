package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"hull/engine"
	"hull/fs"
	"hull/layers"
	"hull/layers/registries"
)

func TestEveryKindHasARow(t *testing.T) {
	for _, k := range engine.Kinds() {
		if _, ok := engineKinds[k]; !ok {
			t.Errorf("engine kind %v has no row", k)
		}
	}
	for _, k := range registries.Kinds() {
		if _, ok := bookKinds[k]; !ok {
			t.Errorf("registries' kind %v has no row for the tree", k)
		}
	}
	for _, k := range layers.Kinds() {
		if _, ok := layersKinds[k]; !ok {
			t.Errorf("store kind %v has no row for the tree", k)
		}
		if _, ok := storeInEngine[k]; !ok {
			t.Errorf("store kind %v has no row for the engine", k)
		}
	}
}

// What a verb fails with has a kind of its own: only what the system did is the system's.
func TestFailuresOfVerbs(t *testing.T) {
	for err, want := range map[error]fs.Kind{
		errors.New("pull takes one image"): fs.Invalid,
		&engine.Error{Op: "start", Kind: engine.NotCommand, Err: errors.New("no such command")}:   fs.NotFound,
		&layers.Error{Op: "pull", Kind: layers.NotFound, Err: errors.New("none")}:                 fs.NotFound,
		&layers.Error{Op: "pull", Kind: layers.Unavailable, Err: errors.New("it broke")}:          fs.Refused,
		&layers.Error{Op: "pull", Kind: layers.Unavailable, Err: &net.DNSError{IsNotFound: true}}: fs.Unreachable,
		&layers.Error{Op: "pull", Kind: layers.Unavailable, Err: syscall.ENETUNREACH}:             fs.Unreachable,
		&fs.Error{Kind: fs.Busy}: fs.Busy,
		context.Canceled:         fs.Interrupted,
		&os.PathError{Op: "open", Path: "x", Err: syscall.EIO}: fs.System,
		fmt.Errorf("the pipe: %w", syscall.EIO):                fs.System,
	} {
		if got := fs.KindOf(fromVerb("run", err)); got != want {
			t.Errorf("%v is %v, want %v", err, got, want)
		}
	}
}
