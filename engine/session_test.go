package engine

import (
	"errors"
	"slices"
	"testing"

	"hull/engine/monitor"
)

// numbers are the sessions of a container that go on, and those that have ended.
func (w *world) numbers(name string) (going, ended []int) {
	w.t.Helper()
	c, ok := w.e.Find(name)
	if !ok {
		w.t.Fatal("there is no", name)
	}
	for _, x := range c.Sessions {
		if x.Exit == nil {
			going = append(going, x.Number)
		} else {
			ended = append(ended, x.Number)
		}
	}
	return going, ended
}

func (w *world) attach(name string, o AttachOptions) *Attachment {
	w.t.Helper()
	near, far, err := monitor.NewStatus()
	w.ok(err)
	w.t.Cleanup(func() { closeAll(near, far) })
	o.Status = far
	a, err := w.e.Attach(w.t.Context(), name, o)
	w.ok(err)
	w.t.Cleanup(a.Close)
	return a
}

// Who is attached is a session, who only watches is none; several have the input, and the container goes on when one
// of them closes it.
func TestAttachedSessions(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	c, err := w.e.Create(ctx, New{Name: "web", Image: "box", Start: true, Settings: map[string]string{"command": "cat", "stdin": "true"}})
	w.ok(err)
	first := w.attach("web", AttachOptions{Stdin: true, Terminal: "/dev/pts/7"})
	second := w.attach("web", AttachOptions{Stdin: true})
	if a := w.attach("web", AttachOptions{}); a.Stdin != nil {
		t.Error("who did not ask for it has the input")
	}
	w.attach("web", AttachOptions{Watch: true})
	if going, _ := w.numbers("web"); !slices.Equal(going, []int{1, 2, 3}) {
		t.Errorf("sessions %v", going)
	}
	if x, _ := w.e.Find("web"); !x.Sessions[0].Attached || x.Sessions[0].Terminal != "/dev/pts/7" || x.Sessions[0].PID != 0 {
		t.Errorf("%+v", x.Sessions[0])
	}
	for _, a := range []*Attachment{first, second} {
		_, err := a.Stdin.WriteString("word ")
		w.ok(errors.Join(err, a.Stdin.Close()))
	}
	w.want(w.e.KillSession(ctx, "web", 1, ""), Invalid)
	w.want(w.e.HangUp(ctx, "web", 4), Removed)
	w.want(w.e.HangUp(ctx, c.ID[:11], 1), NotFound)
	w.ok(w.e.HangUp(ctx, "web", 2))
	w.until("the second has left", func() bool { _, ended := w.numbers("web"); return slices.Equal(ended, []int{2}) })
	w.want(w.e.HangUp(ctx, "web", 2), NotRunning)
	if s := w.state("web"); s != Up {
		t.Errorf("the container is %s", s)
	}
	w.ok(w.e.Kill(ctx, "web", "KILL")) // all others have seen it end
	if going, ended := w.numbers("web"); len(going) > 0 || len(ended) != 3 {
		t.Errorf("sessions %v go on, %v have ended", going, ended)
	}
	w.ok(w.e.Start(ctx, "web"))
	if going, ended := w.numbers("web"); len(going)+len(ended) > 0 {
		t.Errorf("sessions %v and %v of an earlier run", going, ended)
	}
	if a := w.attach("web", AttachOptions{Stdin: true}); a.Stdin == nil {
		t.Error("the second run has no input")
	}
}

// A pause waits for a session that is being made, and one that comes meanwhile is told of the pause.
func TestPauseWaitsForSessions(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.create("web", "sleep", true)
	w.launch.execGate = make(chan struct{})
	executed := make(chan error, 1)
	go func() {
		x, err := w.e.Exec(ctx, "web", ExecOptions{Command: []string{"exit", "3"}})
		if err == nil {
			x.Pidfd.Close()
		}
		executed <- err
	}()
	w.launch.execGate <- struct{}{} // it is being made
	paused := make(chan error, 1)
	go func() { paused <- w.e.Pause(ctx, "web") }()
	s := w.e.index.find("web")
	w.until("the pause waits", func() bool {
		n := make(chan int, 1)
		s.queue.put(func() { n <- len(s.pauses) })
		return <-n == 1
	})
	_, err := w.e.Exec(ctx, "web", ExecOptions{Command: []string{"true"}})
	w.want(err, Busy)
	if s := w.state("web"); s != Up {
		t.Errorf("%s while a session is being made", s)
	}
	w.launch.execGate <- struct{}{}
	w.ok(<-executed)
	w.ok(<-paused)
	if s := w.state("web"); s != Paused {
		t.Errorf("%s after the pause", s)
	}
	w.want(w.e.Pause(ctx, "web"), Busy)
	w.ok(w.e.Unpause(ctx, "web"))
}

// The sessions that ended last are kept, and no others.
func TestEndedSessionsAreBounded(t *testing.T) {
	w := newWorld(t)
	w.create("web", "sleep", true)
	for range maxEnded + 5 {
		x, err := w.e.Exec(t.Context(), "web", ExecOptions{Command: []string{"exit", "3"}})
		w.ok(err)
		x.Pidfd.Close()
	}
	w.until("all have ended", func() bool {
		going, ended := w.numbers("web")
		return len(going) == 0 && len(ended) == maxEnded
	})
}

func TestLabelsAreBounded(t *testing.T) {
	long := make([]string, 10000)
	for i := range long {
		long[i] = "argument"
	}
	if n := len((Session{Number: 1, Command: long}).label(origin{})); n > 16<<10 {
		t.Errorf("a label has %d bytes", n)
	}
}
