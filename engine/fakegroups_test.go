package engine

import (
	"context"
	"errors"
	"maps"
	"os"
	"sync"

	"hull/engine/cgroup"
)

// testGroups pretends to be cgroups.
type testGroups struct {
	mu   sync.Mutex
	live map[string]*testGroup
	of   map[int]string // in which group a process is
}

type testGroup struct {
	t      *testGroups
	id     string
	limits cgroup.Limits
	sets   int   // how often Set was called
	inUse  int64 // memory that cannot be given back
	kills  int64
	oom    *os.File // tells who watches
	stuck  bool     // it does not freeze
	pids   []int    // what is in it
}

func (t *testGroups) Create(id string, l cgroup.Limits) (group, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.live[id] != nil {
		return nil, errors.New("the group exists")
	}
	if t.live == nil {
		t.live = map[string]*testGroup{}
	}
	t.live[id] = &testGroup{t: t, id: id, limits: l}
	return t.live[id], nil
}

func (t *testGroups) Remove() error     { return nil }
func (t *testGroups) Of(pid int) string { return t.of[pid] }

func (t *testGroups) Open(id string) (group, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if g := t.live[id]; g != nil {
		return g, nil
	}
	return &testGroup{t: t, id: id}, nil
}

func (t *testGroups) Sweep(_ context.Context, keep func(string) bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.live, func(id string, _ *testGroup) bool { return !keep(id) })
	return nil
}

func (g *testGroup) Set(l cgroup.Limits) error {
	g.t.mu.Lock()
	g.sets++
	g.t.mu.Unlock()
	return g.Change(cgroup.Limits{}, l)
}

func (g *testGroup) Change(_, to cgroup.Limits) error {
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	if to.Memory > 0 && to.Memory < g.inUse {
		return &cgroup.Error{Op: "limit", Kind: cgroup.Busy, Err: errors.New("more is in use")}
	}
	g.limits = to
	return nil
}

// kill has the kernel end something in the group for want of memory.
func (g *testGroup) kill() {
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	g.kills++
	if g.oom != nil {
		_, _ = g.oom.Write(make([]byte, 8))
	}
}

func (g *testGroup) OOMKills() int64 {
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	return g.kills
}

func (g *testGroup) WatchOOM() (*os.File, error) {
	r, w, err := os.Pipe()
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	g.oom = w
	return r, err
}

func (g *testGroup) Pause(context.Context) error {
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	if g.stuck {
		return errors.Join(context.DeadlineExceeded, nil)
	}
	return nil
}

func (g *testGroup) Stat() (cgroup.Stat, error) {
	return cgroup.Stat{Pids: 1, OOMKills: g.OOMKills()}, nil
}
func (g *testGroup) Join() ([]*os.File, error)     { return nil, nil }
func (g *testGroup) OOM() *os.File                 { return nil }
func (g *testGroup) Unpause(context.Context) error { return nil }
func (g *testGroup) Processes() ([]int, error)     { return g.pids, nil }
func (g *testGroup) Remove(context.Context) error {
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	closeAll(g.oom)
	g.oom = nil
	delete(g.t.live, g.id)
	return nil
}

// count is how many groups there are.
func (t *testGroups) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.live)
}
