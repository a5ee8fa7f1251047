package engine

import (
	"context"
	"fmt"
	"os"
	"testing"

	"hull/engine/logs"
	"hull/engine/monitor"
)

func TestRunAttached(t *testing.T) {
	w := newWorld(t)
	near, far, err := monitor.NewStatus()
	w.ok(err)
	defer near.Close()
	n := New{Image: "box", Settings: map[string]string{"command": "cat", "stdin": "true", "auto_remove": "true"}}
	c, a, err := w.e.Run(t.Context(), n, AttachOptions{Stdin: true, Status: far})
	w.ok(err)
	far.Close()
	defer a.Close()
	if a.Stdin == nil || len(a.Segments) != 1 || a.From != 0 {
		t.Fatalf("%+v", a)
	}
	fmt.Fprint(a.Stdin, "hello")
	w.ok(a.Stdin.Close())
	if s := readExit(t, near); s.Code != 0 {
		t.Errorf("%+v", s)
	}
	if _, ok := w.e.Find(c.ID); ok {
		t.Error("the container is still there when run --rm returns")
	}
	l := logs.Follow(a.Segments)
	data := make([]byte, 100)
	size, err := l.Both().ReadAt(data, a.From)
	if got := string(data[:size]); got != "hello" {
		t.Errorf("%q, %v", got, err)
	}
}

// readExit reads a status socket up to the exit.
func readExit(t *testing.T, f *os.File) monitor.Status {
	t.Helper()
	for {
		var b [monitor.StatusSize]byte
		n, err := f.Read(b[:])
		if err != nil {
			t.Fatalf("the status ends without an exit: %v", err)
		}
		s, err := monitor.DecodeStatus(b[:n])
		if err != nil {
			t.Fatal(err)
		}
		if !s.Grew {
			return s
		}
	}
}

// A run whose caller goes away while the image is being pulled leaves nothing.
func TestRunAbandoned(t *testing.T) {
	w := newWorld(t)
	w.roots.pulling["late"] = make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, _, err := w.e.Run(ctx, New{Name: "web", Image: "late"}, AttachOptions{})
		done <- err
	}()
	w.until("waiting", func() bool { return w.state("web") == Waiting })
	cancel()
	w.want(<-done, Interrupted)
	w.until("removed", func() bool { return w.state("web") == "gone" })
}

func TestAttach(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.create("web", "sleep", true)
	near, far, err := monitor.NewStatus()
	w.ok(err)
	defer near.Close()
	a, err := w.e.Attach(ctx, "web", AttachOptions{Status: far})
	w.ok(err)
	a.Close()
	far.Close()
	w.ok(w.e.Kill(ctx, "web", "KILL"))
	if s := readExit(t, near); s.Code != 137 {
		t.Errorf("%+v", s)
	}
	_, err = w.e.Attach(ctx, "web", AttachOptions{})
	w.want(err, NotRunning)
}
