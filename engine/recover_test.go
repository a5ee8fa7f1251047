package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hull/engine/monitor"
)

// A new daemon finds the containers as they are: running, ended meanwhile, and ended with nobody looking.
func TestReopen(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	c := w.create("web", "sleep", true)
	w.create("once", "exit 4", false)
	w.ok(w.e.Close())
	w.open()
	x, ok := w.e.Find("web")
	if !ok || x.State != Up || x.PID != c.PID || x.Name != "web" || !x.Started.Equal(c.Started) {
		t.Fatalf("%+v", x)
	}
	s := w.e.index.find("web")
	if l := s.lease; l == nil || l.first != s.st.Run.Range {
		t.Errorf("%+v: the range is not the container's", l)
	}
	_, err := w.e.Exec(ctx, "web", ExecOptions{Command: []string{"exit", "0"}})
	w.ok(err)

	w.ok(w.e.Close())
	w.ok(killHeld(w.monitor, c.ID))
	w.monitor.work.Wait()
	w.open()
	w.until("exited", func() bool { return w.state("web") == Exited })
	if x, _ := w.e.Find("web"); x.Exit.Code != 137 {
		t.Errorf("%+v", x.Exit)
	}
	w.monitor.mu.Lock()
	if len(w.monitor.held) != 0 {
		t.Error("the monitor was not told to forget")
	}
	w.monitor.mu.Unlock()

	// The monitor died too: its exit record is all there is, and then not even that.
	for _, record := range []bool{true, false} {
		w.ok(w.e.Start(ctx, "web"))
		w.ok(w.e.Close())
		w.ok(killHeld(w.monitor, c.ID))
		w.monitor.work.Wait()
		w.monitor.held = map[string]*monitor.Held{}
		for len(w.monitor.exits) > 0 {
			<-w.monitor.exits
		}
		want := Exit{Code: 137, Signal: 9}
		if !record {
			w.ok(os.Remove(filepath.Join(w.dir, "containers", c.ID, "exit.json")))
			want = Exit{Code: 255, Unknown: true}
		}
		w.open()
		w.until("exited", func() bool { return w.state("web") == Exited })
		x, _ := w.e.Find("web")
		got := *x.Exit
		got.At = want.At
		if got != want {
			t.Errorf("%+v", got)
		}
	}
}

func killHeld(m *testMonitor, id string) error {
	m.mu.Lock()
	h := m.held[id]
	m.mu.Unlock()
	if h == nil {
		return errors.New("it is not held")
	}
	p, err := os.FindProcess(h.PID)
	if err != nil {
		return err
	}
	return p.Kill()
}

// What cannot be read is listed, can be removed, and keeps nobody else from being there.
func TestDead(t *testing.T) {
	w := newWorld(t)
	c := w.create("web", "sleep", false)
	w.create("other", "sleep", false)
	w.ok(w.e.Close())
	path := filepath.Join(w.dir, "containers", c.ID, recordFile)
	w.ok(os.WriteFile(path, []byte("{nonsense"), 0o600))
	w.open()
	name := "dead_" + c.ShortID()
	x, ok := w.e.Find(name)
	if !ok || x.State != Dead || !strings.Contains(x.Error, path) {
		t.Fatalf("%+v", x)
	}
	w.want(w.e.Start(t.Context(), name), Invalid)
	w.want(w.e.Set(t.Context(), name, "tty", "true"), Invalid)
	w.want(w.e.Rename(t.Context(), name, "x"), Invalid)
	w.ok(w.e.Remove(t.Context(), name, false))
	if len(w.e.List()) != 1 {
		t.Errorf("%d containers", len(w.e.List()))
	}
	// A record without a byte is a creation that a power failure undid.
	c, _ = w.e.Find("other")
	w.ok(w.e.Close())
	w.ok(os.Truncate(filepath.Join(w.dir, "containers", c.ID, recordFile), 0))
	w.open()
	if len(w.e.List()) != 0 {
		t.Errorf("%d containers", len(w.e.List()))
	}
}
