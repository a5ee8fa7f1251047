package session

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// helped is a server whose sessions on descriptors have a line of shell for a helper. It does not call: only kinds whose
// beginning is not waited for have a session then.
func helped(t *testing.T, line string) *Server {
	t.Helper()
	s, err := NewServer(t.Context(), Options{
		Dir: t.TempDir(), Sentence: error.Error, Logger: slog.New(slog.DiscardHandler),
		Handler: func(context.Context, *Call) (*Answer, error) { return nil, errors.New("nobody calls") },
		Helper:  []string{"/bin/sh", "-c", line},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// says reads what a session says until it has said enough, or ends.
func says(t *testing.T, h *Handle, enough string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	var said strings.Builder
	for enough == "" || !strings.HasSuffix(said.String(), enough) {
		b := make([]byte, 1000)
		n, err := h.Read(ctx, b)
		if err != nil {
			t.Fatalf("after %q: %v", said.String(), err)
		}
		if n == 0 {
			break
		}
		said.Write(b[:n])
	}
	return said.String()
}

func TestLine(t *testing.T) {
	s := helped(t, "echo hello; read x; echo got $x; head -c 100000 /dev/zero | tr '\\0' x; echo end")
	h := s.Open(Verb{Kind: "follow"}, me())
	defer h.Release(t.Context())
	if got := says(t, h, "\n"); got != "hello\n" {
		t.Errorf("%q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if n, err := h.Read(ctx, make([]byte, 9)); !errors.Is(err, context.Canceled) {
		t.Errorf("a read that is called off: %d, %v", n, err)
	}
	if n, err := h.Write(t.Context(), []byte("word\n")); n != 5 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	wait(t, h.line.over, "the helper's end") // what it wrote is kept
	if got, want := says(t, h, ""), "got word\n"+strings.Repeat("x", 100000)+"end\n"; got != want {
		t.Errorf("%d bytes of %d", len(got), len(want))
	}
	if _, err := h.Write(t.Context(), []byte("x")); !errors.Is(err, unix.EPIPE) {
		t.Errorf("writing to what has ended: %v", err)
	}
}

// Closing the last descriptor ends the helper.
func TestLineHangsUp(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	s := helped(t, "echo up; cat > /dev/null; echo gone > "+mark)
	h := s.Open(Verb{Kind: "follow"}, me())
	if got := says(t, h, "\n"); got != "up\n" {
		t.Errorf("%q", got)
	}
	l := h.line
	h.Release(t.Context())
	wait(t, l.over, "the helper's end")
	if b, err := os.ReadFile(mark); string(b) != "gone\n" {
		t.Errorf("%q, %v", b, err)
	}
}

// A helper that ends before it has called is a failure of the opening.
func TestLineWithoutCall(t *testing.T) {
	s := helped(t, "test -t 0 && test -t 1 && test -t 2 && test \"$(stty size)\" = '24 80'")
	h := s.Open(Verb{Kind: "exec"}, me())
	defer h.Release(t.Context())
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	if err := h.Begin(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("beginning: %v, %v", err, ctx.Err())
	}
	if err := h.Begin(ctx); err == nil {
		t.Error("and then it begins")
	}
}

func TestDescriptor(t *testing.T) {
	for kind, ok := range map[string]bool{"exec": true, "attach": true, "follow": true, "save": true, "enter": false, "login": false, "load": false} {
		if err := Descriptor(kind); (err == nil) != ok {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
