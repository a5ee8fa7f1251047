package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestOnlyPipes: the daemon reads and writes no other descriptor than a pipe, whoever
// sends it, and leaves that when it is told to.
func TestOnlyPipes(t *testing.T) {
	regular, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer regular.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, f := range []*os.File{nil, regular, null} {
		if own, done, err := pipe(t.Context(), f); err == nil {
			t.Errorf("%v is taken as %v", f, own)
			done()
		}
	}
	reading, writing, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reading.Close()
	defer writing.Close()
	ctx, cancel := context.WithCancel(t.Context())
	own, done, err := pipe(ctx, reading)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	ended := make(chan error)
	go func() {
		_, err := io.ReadAll(own)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, os.ErrClosed) {
		t.Errorf("a read that was told to end: %v", err)
	}
}
