package fs

import (
	"context"
	"errors"
	"io"
	"syscall"
	"testing"
)

// A writer that is interrupted while it waits for the reader breaks the stream off: the reader sees why, and never what
// the writer had in its hands.
func TestInterruptedInflow(t *testing.T) {
	f := &inflow{ctx: t.Context(), changed: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := f.write(ctx, []byte("abc")); got != interrupted {
		t.Fatalf("the write is %v", got)
	}
	why := errors.New("interrupted")
	f.abort(why)
	if n, err := f.Read(make([]byte, 10)); n != 0 || !errors.Is(err, why) {
		t.Errorf("the reader gets %d, %v", n, err)
	}
	f.close()
	if n, err := f.Read(make([]byte, 10)); n != 0 || !errors.Is(err, why) {
		t.Errorf("after the last close the reader gets %d, %v", n, err)
	}
}

// Each write waits for the reader to take all of it and ask for more, and its end for the reader's.
func TestInflow(t *testing.T) {
	f := &inflow{ctx: t.Context(), changed: make(chan struct{})}
	read := make(chan string, 1)
	go func() {
		b, err := io.ReadAll(f)
		if err != nil {
			t.Error(err)
		}
		read <- string(b)
		f.end(syscall.EINVAL)
	}()
	for _, s := range []string{"one ", "two ", "three"} {
		if got := f.write(t.Context(), []byte(s)); got != flowing {
			t.Fatalf("the write of %q is %v", s, got)
		}
	}
	if got := f.finish(t.Context()); got != flowing {
		t.Errorf("a close before the end mark is %v", got)
	}
	f.Ended()
	if got := f.finish(t.Context()); got != over || f.errno() != syscall.EINVAL {
		t.Errorf("the end is %v, %v", got, f.errno())
	}
	if s := <-read; s != "one two three" {
		t.Errorf("the reader got %q", s)
	}
	if got := f.write(t.Context(), []byte("more")); got != over {
		t.Errorf("a write after the end is %v", got)
	}
}
