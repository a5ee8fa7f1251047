package session

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"hull/fs/wire"
)

func TestAnswerLives(t *testing.T) {
	near, far, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	input, typed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer input.Close()
	signals, ended, gone := make(chan int, 9), make(chan struct{}, 9), make(chan struct{}, 9)
	s := serve(t, func(context.Context, *Call) (*Answer, error) {
		return &Answer{
			Status: near, Stdin: typed,
			Signal: func(_ context.Context, n int) error { signals <- n; return nil },
			Ended:  func(context.Context) { ended <- struct{}{} },
			Gone:   func(context.Context) { gone <- struct{}{} },
		}, nil
	})
	h := s.Open(Verb{Kind: "exec"}, me())
	c := ask(t, s, &wire.Request{Token: ticket(t, h).Token})
	a, files := answer(t, c)
	if string([]byte{byte(a.Roles[0]), byte(a.Roles[1])}) != "si" || len(files) != 2 || !a.Signals {
		t.Fatalf("%+v", a)
	}
	h.Release(t.Context())
	for _, n := range []int{2, 15, 1} {
		if err := c.Send(wire.KindSignal, wire.EncodeSignal(n)); err != nil {
			t.Fatal(err)
		}
		if got := wait(t, signals, "the signal"); got != n {
			t.Errorf("signal %d came as %d", n, got)
		}
	}
	if err := c.Send(wire.KindEnded, nil); err != nil {
		t.Fatal(err)
	}
	wait(t, ended, "the end of the input")
	if _, err := files[1].WriteString("keys"); err != nil {
		t.Fatal(err)
	}
	_ = files[1].Close()
	if b, err := io.ReadAll(input); string(b) != "keys" || err != nil {
		t.Errorf("%q, %v", b, err) // it ends: the server holds no copy
	}
	_ = c.Close()
	wait(t, gone, "that the helper is gone")
}

func TestSignalBeforeAnswer(t *testing.T) {
	begun := make(chan struct{})
	s := serve(t, func(ctx context.Context, _ *Call) (*Answer, error) {
		close(begun)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	h := s.Open(Verb{Kind: "wait"}, me())
	c := ask(t, s, &wire.Request{Token: ticket(t, h).Token})
	wait(t, begun, "the call")
	if err := c.Send(wire.KindSignal, wire.EncodeSignal(2)); err != nil {
		t.Fatal(err)
	}
	if a, _ := answer(t, c); a.Code != 125 {
		t.Errorf("%+v", a)
	}
}

// A signal that comes when the process is made but the answer is not sent must reach the process.
func TestSignalTooLate(t *testing.T) {
	begun, signals := make(chan struct{}), make(chan int, 1)
	near, far, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	s := serve(t, func(ctx context.Context, _ *Call) (*Answer, error) {
		close(begun)
		<-ctx.Done() // the signal was heard; the process was made all the same
		return &Answer{Status: near, Signal: func(_ context.Context, n int) error { signals <- n; return nil }}, nil
	})
	h := s.Open(Verb{Kind: "exec"}, me())
	c := ask(t, s, &wire.Request{Token: ticket(t, h).Token})
	wait(t, begun, "the call")
	if err := c.Send(wire.KindSignal, wire.EncodeSignal(15)); err != nil {
		t.Fatal(err)
	}
	answer(t, c)
	if n := wait(t, signals, "the signal"); n != 15 {
		t.Error(n)
	}
}

func TestCallerGivesUp(t *testing.T) {
	begun, over := make(chan struct{}), make(chan struct{})
	s := serve(t, func(ctx context.Context, c *Call) (*Answer, error) {
		close(begun)
		<-ctx.Done()
		c.Print(strings.Repeat("to nobody\n", 1<<20)) // must not wait for ever
		close(over)
		return nil, ctx.Err()
	})
	h := s.Open(Verb{Kind: "pull"}, me())
	c := ask(t, s, &wire.Request{Token: ticket(t, h).Token})
	wait(t, begun, "the call")
	_ = c.Close()
	wait(t, over, "that the call ends")
}

func TestClose(t *testing.T) {
	var calls sync.WaitGroup
	calls.Add(3)
	s := serve(t, func(ctx context.Context, c *Call) (*Answer, error) {
		calls.Done()
		if c.Name == "printing" {
			for ctx.Err() == nil {
				c.Print(strings.Repeat("nobody reads\n", 1<<16))
			}
		}
		<-ctx.Done()
		return nil, ctx.Err()
	})
	for _, name := range []string{"waiting", "printing", "too"} {
		h := s.Open(Verb{Kind: "wait", Name: name}, me())
		ask(t, s, &wire.Request{Token: ticket(t, h).Token})
	}
	_, silent := dial(t, s)
	calls.Wait()
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	if err := wait(t, closed, "the server's end"); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadAll(silent); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
}
