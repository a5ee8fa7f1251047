package engine

import (
	"encoding/json"
	"testing"

	"hull/engine/logs"
)

// bounds are what the monitor was told of a container's log.
func (m *testMonitor) boundsOf(id string) logs.Bounds {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bounds[id]
}

// The bounds of a log reach the monitor with the start, with each change, and with a daemon that comes back.
func TestLogBounds(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	c := w.create("web", "sleep", true)
	told := func(want logs.Bounds) {
		t.Helper()
		if got := w.monitor.boundsOf(c.ID); got != want {
			t.Errorf("the monitor keeps it within %+v, not %+v", got, want)
		}
		data, err := w.e.Inspect(c.ID)
		w.ok(err)
		var shown struct{ Logs logsDocument }
		w.ok(json.Unmarshal(data, &shown))
		if logs.Bounds(shown.Logs) != want {
			t.Errorf("inspect.json has %+v, not %+v", shown.Logs, want)
		}
	}
	told(logs.Bounds{Max: 20 << 20, Files: 5})
	w.ok(w.e.Set(ctx, c.ID, "log_max", "1m"))
	told(logs.Bounds{Max: 1 << 20, Files: 5})
	w.ok(w.e.Set(ctx, c.ID, "log_files", "2"))
	told(logs.Bounds{Max: 1 << 20, Files: 2})
	w.ok(w.e.Set(ctx, c.ID, "log_max", "-1"))
	told(logs.Bounds{Files: 2})
	w.want(w.e.Set(ctx, c.ID, "log_max", "10"), Invalid)
	told(logs.Bounds{Files: 2})

	w.monitor.forgetBounds()
	w.ok(w.e.Close())
	w.open()
	w.until("the monitor has been told again", func() bool { return w.monitor.boundsOf(c.ID) == logs.Bounds{Files: 2} })
	told(logs.Bounds{Files: 2})

	w.ok(w.e.Stop(ctx, c.ID, 0))
	w.ok(w.e.Set(ctx, c.ID, "log_files", "3")) // of one that does not run, too
	told(logs.Bounds{Files: 3})
	w.ok(w.e.Set(ctx, c.ID, "log_max", ""))
	w.ok(w.e.Start(ctx, c.ID))
	told(logs.Bounds{Max: 20 << 20, Files: 3})
}

func (m *testMonitor) forgetBounds() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bounds = map[string]logs.Bounds{}
}
