package monitor

import (
	"context"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// client is a daemon's end whose monitor is the test.
func client(t *testing.T) (*Client, *packet) {
	t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	far, err := newPacket(p[1])
	if err != nil {
		t.Fatal(err)
	}
	c, err := Connect(os.NewFile(uintptr(p[0]), "near"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = far.close()
		_ = c.Close()
	})
	return c, far
}

func TestLost(t *testing.T) {
	c, far := client(t)
	got := make(chan error, 1)
	go func() { got <- c.Ready(t.Context()) }()
	if m, err := far.receive(); err != nil || m.Op != opReady {
		t.Fatalf("%+v, %v", m, err)
	}
	if err := far.close(); err != nil {
		t.Fatal(err)
	}
	var e *Error
	if err := <-got; !errors.As(err, &e) || e.Kind != Lost {
		t.Errorf("a call that waited: %v", err)
	}
	<-c.Lost()
	if err := c.Forget(t.Context(), "web"); !errors.As(err, &e) || e.Kind != Lost {
		t.Errorf("a later call: %v", err)
	}
}

// A call that is given up leaves nothing behind: its late answer is dropped, descriptors and all, and others go on.
func TestGivenUp(t *testing.T) {
	c, far := client(t)
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 1)
	go func() {
		_, err := c.List(ctx)
		got <- err
	}()
	m, err := far.receive()
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled call: %v", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	held := &message{Op: opHeld, Seq: m.Seq, ID: "web"}
	held.put(slotPidfd, w)
	if err := errors.Join(far.send(held), far.send(&message{Op: opAnswer, Seq: m.Seq}), w.Close()); err != nil {
		t.Fatal(err)
	}
	go func() { got <- c.Ready(t.Context()) }()
	if m, err = far.receive(); err != nil {
		t.Fatal(err)
	}
	if err := far.send(&message{Op: opAnswer, Seq: m.Seq}); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("the next call: %v", err)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil { // ends when the descriptor that was sent is closed
		t.Errorf("read %d, %v", n, err)
	}
}

// Whoever takes events may call, whatever number of events is waiting.
func TestManyEvents(t *testing.T) {
	c, far := client(t)
	const n = 2000
	go func() {
		for range n {
			_ = far.send(&message{Op: opExit, Exit: &Exit{ID: "web"}})
		}
		if m, err := far.receive(); err == nil {
			_ = far.send(&message{Op: opAnswer, Seq: m.Seq})
		}
	}()
	<-c.Exits()
	if err := c.Forget(t.Context(), "web"); err != nil {
		t.Error(err)
	}
	for range n - 1 {
		<-c.Exits()
	}
}
