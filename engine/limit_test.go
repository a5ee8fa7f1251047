package engine

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hull/engine/cgroup"
)

// limits are those of the cgroup of the one container that runs.
func (w *world) limits() cgroup.Limits {
	w.t.Helper()
	w.groups.mu.Lock()
	defer w.groups.mu.Unlock()
	for _, g := range w.groups.live {
		l := g.limits
		l.Devices, l.PidsIfPossible = nil, false
		return l
	}
	w.t.Fatal("there is no cgroup")
	return cgroup.Limits{}
}

// group is the cgroup of the one container that runs.
func (w *world) group() *testGroup {
	w.groups.mu.Lock()
	defer w.groups.mu.Unlock()
	for _, g := range w.groups.live {
		return g
	}
	w.t.Fatal("there is no cgroup")
	return nil
}

func (w *world) wantLimits(want cgroup.Limits) {
	w.t.Helper()
	if d := cmp.Diff(want, w.limits()); d != "" {
		w.t.Fatal(d)
	}
}

func TestLimitsAreLive(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	c, err := w.e.Create(ctx, New{Name: "web", Image: "box", Start: true, Settings: map[string]string{"memory": "64m", "pids": "100"}})
	w.ok(err)
	w.wantLimits(cgroup.Limits{Pids: 100, Memory: 64 << 20})
	w.ok(w.e.Set(ctx, c.ID, "memory", "512M\n"))
	w.ok(w.e.Set(ctx, c.ID, "cpus", "0.5"))
	w.ok(w.e.Set(ctx, c.ID, "cpu_shares", "512"))
	w.ok(w.e.Set(ctx, c.ID, "pids", "-1"))
	w.ok(w.e.Set(ctx, c.ID, "memory_swap", "-1"))
	all := cgroup.Limits{Memory: 512 << 20, MemorySwap: -1, CPUs: 0.5, CPUShares: 512}
	w.wantLimits(all)
	w.ok(w.e.Set(ctx, c.ID, "ulimits", "core=0")) // not live
	if c, _ := w.e.Find("web"); len(c.Pending) != 1 || c.Pending[0] != "ulimits" {
		t.Errorf("pending are %q", c.Pending)
	}

	// What the kernel refuses leaves setting and limits as they were.
	w.group().inUse = 100 << 20
	w.want(w.e.Set(ctx, c.ID, "memory", "64m"), Busy)
	w.wantLimits(all)
	if v, _ := w.e.Get(c.ID, "memory"); v != "512M\n" {
		t.Errorf("memory is %q", v)
	}

	// So does a record that cannot be written.
	blocker := filepath.Join(w.dir, "containers", c.ID, recordFile+".new")
	w.ok(os.Mkdir(blocker, 0o700))
	if err := w.e.Set(ctx, c.ID, "memory", "1g"); err == nil {
		t.Error("a setting without a record was taken")
	}
	w.wantLimits(all)
	w.ok(os.Remove(blocker))

	// A daemon that comes back makes sure of them.
	w.ok(w.e.Close())
	w.open()
	w.wantLimits(all)
	w.until("the limits are set again", func() bool {
		g := w.group()
		w.groups.mu.Lock()
		defer w.groups.mu.Unlock()
		return g.sets > 0
	})
	w.wantLimits(all)
	w.ok(w.e.Set(ctx, c.ID, AllSettings, `{"image":"box","pids":7}`))
	w.wantLimits(cgroup.Limits{Pids: 7})
	w.ok(w.e.Stop(ctx, c.ID, 0))
	w.ok(w.e.Set(ctx, c.ID, "pids", ""))
	w.ok(w.e.Start(ctx, c.ID))
	w.wantLimits(cgroup.Limits{Pids: defaultPids})
}

// inspect.json shows what is in force, whether it was set or not.
func TestInForce(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	c := w.create("web", "sleep", false)
	type shown struct {
		Limits limitsDocument
		Stop   stopDocument
	}
	inForce := func(want shown) {
		t.Helper()
		data, err := w.e.Inspect(c.ID)
		w.ok(err)
		var got shown
		w.ok(json.Unmarshal(data, &got))
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
	inForce(shown{limitsDocument{Pids: defaultPids}, stopDocument{"SIGTERM", 10}})
	w.ok(w.e.Set(ctx, c.ID, AllSettings, `{"image":"box","memory":"1g","cpus":0.5,"pids":-1,"stop_signal":"RTMIN+1","stop_timeout":-1}`))
	inForce(shown{limitsDocument{Memory: 1 << 30, CPUs: 0.5}, stopDocument{"35", -1}})
}

func TestLimitsTogether(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.create("web", "sleep", false)
	w.want(w.e.Set(ctx, "web", "memory_swap", "1g"), Invalid)
	w.ok(w.e.Set(ctx, "web", "memory_swap", "-1"))
	w.ok(w.e.Set(ctx, "web", "memory", "512m"))
	w.want(w.e.Set(ctx, "web", "memory_swap", "256m"), Invalid)
	w.ok(w.e.Set(ctx, "web", "memory_swap", "1g"))
	w.want(w.e.Set(ctx, "web", "memory", "2g"), Invalid)
	w.want(w.e.Set(ctx, "web", "memory", ""), Invalid)
	w.want(w.e.Set(ctx, "web", AllSettings, `{"memory":"2g","memory_swap":"1g"}`), Invalid)
	w.ok(w.e.Set(ctx, "web", AllSettings, `{"memory":"2g","memory_swap":"3g"}`))
	w.ok(w.e.Set(ctx, "web", "memory_swap", ""))
	w.ok(w.e.Set(ctx, "web", "memory", ""))
	w.want(w.e.Set(ctx, "web", "cpus", "60000"), Invalid) // nobody has that many
	_, err := w.e.Create(ctx, New{Name: "other", Image: "box", Settings: map[string]string{"memory_swap": "1g"}})
	w.want(err, Invalid)
	// A container that was made on a larger machine is there all the same.
	w.ok(w.e.Set(ctx, "web", "image", "box"))
	c, _ := w.e.Find("web")
	w.ok(w.e.Close())
	file := filepath.Join(w.dir, "containers", c.ID, recordFile)
	data, err := os.ReadFile(file)
	w.ok(err)
	w.ok(os.WriteFile(file, []byte(strings.Replace(string(data), `"settings": {`, `"settings": {"cpus": "60000",`, 1)), 0o600))
	w.open()
	w.ok(w.e.Set(ctx, "web", "env", "A=1"))
	w.ok(w.e.Start(ctx, "web"))
	w.wantLimits(cgroup.Limits{Pids: defaultPids, CPUs: 60000})
}

func TestUlimitsOfOthers(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	alice := Owner{UID: 1000, GID: 1000}
	_, err := w.e.Create(ctx, New{Name: "alice", Image: "box", Owner: alice, Settings: map[string]string{"ulimits": "nofile=1048576000"}})
	w.want(err, NeedsRoot)
	c, err := w.e.Create(ctx, New{Name: "alice", Image: "box", Owner: alice, Settings: map[string]string{"ulimits": "nofile=64"}})
	w.ok(err)
	w.want(w.e.Set(ctx, c.ID, "ulimits", "memlock=-1:-1"), NeedsRoot)
	got := rlimits([]string{"nofile=1:2", "core=0", "nofile=3"})
	if len(got) != 2 || got[0].Name != "nofile" || got[0].Soft != 3 || got[0].Hard != 3 || got[1].Name != "core" {
		t.Errorf("%+v", got)
	}
}

func TestOutOfMemory(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.create("web", "sleep", true)
	if w.group().oom != nil {
		t.Error("a container without a limit is watched")
	}
	w.ok(w.e.Set(ctx, "web", "memory", "64m"))
	w.group().kill()
	oom := func() bool { c, _ := w.e.Find("web"); return c.OOM }
	w.until("it shows that memory ran out", oom)
	c, _ := w.e.Find("web")
	if c.State != Up || !strings.Contains(c.Error, "out of memory") || !strings.Contains(c.Error, "limit of 64m") {
		t.Errorf("it is %s: %s", c.State, c.Error)
	}
	if n := strings.Count(strings.Join(w.told(), "\n"), "oom web"); n != 1 {
		t.Errorf("%d events oom in %q", n, w.told())
	}
	events := func(n int) func() bool {
		return func() bool { return strings.Count(strings.Join(w.told(), "\n"), "oom web") == n }
	}
	w.ok(w.e.Close()) // while it is watched
	w.open()
	if !oom() {
		t.Error("the next daemon does not know it")
	}
	w.group().kill()
	w.until("a second event", events(2))
	w.ok(w.e.Close())
	w.group().kill() // while nobody is there
	w.open()
	w.until("a third event", events(3))
	w.ok(w.e.Stop(ctx, "web", 0))
	w.ok(w.e.Start(ctx, "web"))
	if oom() {
		t.Error("a new run begins with the old one's end")
	}
}

func TestDocumentKeepsForm(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.create("web", "sleep", false)
	w.ok(w.e.Set(ctx, "web", "env", "# a comment\nA=1\n"))
	w.ok(w.e.Set(ctx, "web", "memory", "512M\n"))
	doc, err := w.e.Get("web", AllSettings)
	w.ok(err)
	w.ok(w.e.Set(ctx, "web", AllSettings, strings.Replace(doc, `"sleep"`, `"exit"`, 1)))
	for setting, want := range map[string]string{"env": "# a comment\nA=1\n", "memory": "512M\n", "command": "[\"exit\"]\n"} {
		if v, _ := w.e.Get("web", setting); v != want {
			t.Errorf("%s is %q", setting, v)
		}
	}
	w.want(w.e.Set(ctx, "web", AllSettings, ""), Invalid)
	w.want(w.e.Set(ctx, "web", AllSettings, `{"memory":1,"pids":5}`), Invalid)
	if v, _ := w.e.Get("web", "pids"); v != "" {
		t.Errorf("half of a document counts: pids is %q", v)
	}
}

// A container that does not freeze in time goes on, and can be frozen later.
func TestPauseGivenUp(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.create("web", "sleep", true)
	stuck := func(is bool) {
		g := w.group()
		w.groups.mu.Lock()
		defer w.groups.mu.Unlock()
		g.stuck = is
	}
	stuck(true)
	w.want(w.e.Pause(ctx, "web"), Busy)
	if s := w.state("web"); s != Up {
		t.Errorf("it is %s", s)
	}
	stuck(false)
	w.ok(w.e.Pause(ctx, "web"))
	w.ok(w.e.Unpause(ctx, "web"))
}
