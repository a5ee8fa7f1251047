package engine

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"testing"

	"hull/engine/monitor"
)

type askedBy struct{}

// by gives a context in which somebody asks.
func by(ctx context.Context, uid uint32) context.Context {
	return context.WithValue(ctx, askedBy{}, uid)
}

func callerOf(ctx context.Context) (uint32, bool) {
	uid, ok := ctx.Value(askedBy{}).(uint32)
	return uid, ok
}

// whyOf is what an event says of who and why: "die web 8 request".
func whyOf(ev Event) string {
	uid := "-"
	if ev.UID != nil {
		uid = strconv.FormatUint(uint64(*ev.UID), 10)
	}
	return string(ev.Action) + " " + ev.Name + " " + uid + " " + string(ev.Cause)
}

// since answers what was told since the last time.
func (w *world) since() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.whys
	w.whys = nil
	return all
}

func (w *world) untilTold(line string) {
	w.t.Helper()
	w.until(line, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.Contains(w.whys, line)
	})
}

// Who asked for what is told with each event, also of what happens long after it was asked for, and beside what others
// ask for.
func TestEventsTellWhoAndWhy(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	is := func(want ...string) {
		t.Helper()
		if got := w.since(); !slices.Equal(got, want) {
			t.Errorf("told was %q, want %q", got, want)
		}
	}
	_, err := w.e.Create(by(ctx, 7), New{Name: "web", Image: "box", Start: true, Settings: map[string]string{"command": "sleep"}})
	w.ok(err)
	is("create web 7 request", "start web 7 request")
	w.ok(w.e.Set(by(ctx, 8), "web", "stop_timeout", "3"))
	w.ok(w.e.Pause(by(ctx, 9), "web"))
	w.ok(w.e.Unpause(by(ctx, 7), "web"))
	is("update web 8 request", "pause web 9 request", "unpause web 7 request")
	w.ok(w.e.Restart(by(ctx, 8), "web", -1))
	is("kill web 8 request", "die web 8 request", "stop web 8 request", "start web 8 request", "restart web 8 request")
	w.ok(w.e.Kill(by(ctx, 9), "web", "KILL"))
	is("kill web 9 request", "die web 9 request")

	// It ends by itself: nobody has asked.
	w.ok(w.e.Set(ctx, "web", "command", "exit 3"))
	w.ok(w.e.Start(by(ctx, 7), "web"))
	w.untilTold("die web - exit")
	is("update web - request", "start web 7 request", "die web - exit")

	// Who removes it kills it.
	w.ok(w.e.Set(ctx, "web", "command", "sleep"))
	w.ok(w.e.Start(by(ctx, 7), "web"))
	w.since()
	w.ok(w.e.Remove(by(ctx, 9), "web", true))
	is("kill web 9 request", "die web 9 request", "destroy web 9 request")

	// What goes at its end goes because of its setting, and what is unmounted because of that.
	_, err = w.e.Create(by(ctx, 7), New{Name: "rm", Image: "box", Start: true, Settings: map[string]string{"command": "sleep", "auto_remove": "true"}})
	w.ok(err)
	w.since()
	w.ok(w.e.StopAll(ctx))
	is("kill rm - umount", "die rm - umount", "destroy rm - auto_remove")

	_, err = w.e.CreateVolume(by(ctx, 7), "db", Owner{UID: 7})
	w.ok(err)
	w.ok(w.e.ChownVolume(by(ctx, 0), "db", Owner{UID: 8}))
	w.ok(w.e.RemoveVolume(by(ctx, 8), "db", true))
	is("create db 7 request", "update db 0 request", "destroy db 8 request")
}

// attachBy attaches somebody.
func (w *world) attachBy(uid uint32, name string) {
	w.t.Helper()
	near, far, err := monitor.NewStatus()
	w.ok(err)
	w.t.Cleanup(func() { closeAll(near, far) })
	a, err := w.e.Attach(by(w.t.Context(), uid), name, AttachOptions{Status: far})
	w.ok(err)
	w.t.Cleanup(a.Close)
}

// A session is told of as that of who began it, and its end as that of who has asked for it, if somebody has; so is what
// the next daemon finds.
func TestEventsOfSessions(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	_, err := w.e.Create(ctx, New{Name: "web", Image: "box", Start: true, Settings: map[string]string{"command": "cat", "stdin": "true"}})
	w.ok(err)
	w.since()
	w.attachBy(7, "web")
	w.attachBy(8, "web")
	w.ok(w.e.HangUp(by(ctx, 9), "web", 1))
	w.untilTold("detach web 9 request")
	w.ok(w.e.Kill(by(ctx, 9), "web", "KILL"))
	want := []string{
		"attach web 7 request", "attach web 8 request", "exec_hang_up web 9 request", "detach web 9 request",
		"kill web 9 request", "detach web 8 exit", "die web 9 request",
	}
	if got := w.since(); !slices.Equal(got, want) {
		t.Errorf("told was %q, want %q", got, want)
	}

	var l label
	uid := uint32(7)
	err = json.Unmarshal(Session{ID: "a", Number: 1}.label(origin{uid: &uid, cause: Asked}), &l)
	if err != nil || l.UID == nil || *l.UID != 7 {
		t.Errorf("the label of a session is %+v, %v", l, err)
	}
}
