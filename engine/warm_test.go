package engine

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"hull/engine/monitor"
)

// warmWorld is a world whose engine keeps so many processes ready, and has them.
func warmWorld(t *testing.T, count int) *world { return keepingWarm(t, count, false) }

// restlessWorld is one in which it is never quiet.
func restlessWorld(t *testing.T, count int) *world { return keepingWarm(t, count, true) }

func keepingWarm(t *testing.T, count int, restless bool) *world {
	t.Helper()
	w := newWorld(t)
	w.ok(w.e.Close())
	w.warm, w.restless = count, restless
	w.open()
	w.filled()
	return w
}

// filled waits until the pool is full.
func (w *world) filled() {
	w.t.Helper()
	w.until("the pool is full", func() bool {
		w.e.pool.mu.Lock()
		defer w.e.pool.mu.Unlock()
		for kind, wanted := range w.e.pool.wanted {
			if wanted && len(w.e.pool.ready[kind]) != w.warm {
				return false
			}
		}
		return true
	})
}

// in are the cgroups there are.
func (w *world) in() []string {
	w.groups.mu.Lock()
	defer w.groups.mu.Unlock()
	return slices.Sorted(maps.Keys(w.groups.live))
}

func (w *world) groupOf(name string) string {
	w.t.Helper()
	c, ok := w.e.Find(name)
	if !ok {
		w.t.Fatalf("there is no %s", name)
	}
	return c.group
}

// What is done without processes that are ready finds none, and there are some again when it is done, or has failed.
func TestWarmWithout(t *testing.T) {
	w := warmWorld(t, 2)
	before := w.in()
	failure := errors.New("it cannot be done")
	for _, want := range []error{nil, failure} {
		err := w.e.pool.without(func() error {
			w.e.pool.refill()
			if now := w.in(); len(now) > 0 || len(w.launch.waiting()) > 0 {
				t.Errorf("there are %v and %d processes", now, len(w.launch.waiting()))
			}
			return want
		})
		if !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
		w.filled()
		if now := w.in(); len(now) != 2 || slices.ContainsFunc(now, func(g string) bool { return slices.Contains(before, g) }) {
			t.Errorf("there are %v, were %v", now, before)
		}
	}
	w.ok(w.e.Close())
}

// A start takes a process that is ready, with its range and cgroup; another is made in its place. Nothing is left at the end.
func TestWarmStart(t *testing.T) {
	w := warmWorld(t, 2)
	first := map[string]bool{}
	for _, g := range w.in() {
		first[g] = true
	}
	w.create("web", "sleep", true)
	if g := w.groupOf("web"); !first[g] {
		t.Errorf("the cgroup is %s, ready were %v", g, first)
	}
	w.filled()
	if got := len(w.in()); got != 3 {
		t.Errorf("there are %d cgroups: %v", got, w.in())
	}
	w.ok(w.e.Stop(t.Context(), "web", 0))
	w.until("the run's cgroup is gone", func() bool { return len(w.in()) == 2 })
	w.ok(w.e.Start(t.Context(), "web")) // with another process, in another cgroup
	if g := w.groupOf("web"); first[g] && !strings.HasPrefix(g, warmPrefix) {
		t.Errorf("the cgroup is %s", g)
	}
	w.ok(w.e.Stop(t.Context(), "web", 0))
	w.ok(w.e.Close())
	if left := w.in(); len(left) > 0 || len(w.launch.waiting()) > 0 {
		t.Errorf("left are the cgroups %v and %d processes", left, len(w.launch.waiting()))
	}
	if n := len(w.e.ranges.used); n > 0 {
		t.Errorf("%d ranges are taken still", n)
	}
}

// A start that fails gives back what it took.
func TestWarmStartFails(t *testing.T) {
	w := warmWorld(t, 1)
	for range 3 {
		_, err := w.e.Create(t.Context(), New{Name: "web", Image: "box", Settings: map[string]string{"command": "nosuch"}, Start: true})
		w.want(err, NotCommand)
		w.filled()
	}
	w.until("only the pool has a cgroup", func() bool { return len(w.in()) == 1 })
	w.e.ranges.mu.Lock()
	defer w.e.ranges.mu.Unlock()
	if n := len(w.e.ranges.used); n != 1 {
		t.Errorf("%d ranges are taken", n)
	}
}

// In the place of a process that is killed while it waits comes another, at once; and none that can be made is no hindrance.
func TestWarmLost(t *testing.T) {
	w := warmWorld(t, 2)
	first := w.in()
	for _, s := range w.launch.waiting() {
		s.die()
	}
	w.until("two others are ready", func() bool {
		now := w.in()
		return len(now) == 2 && !slices.Contains(now, first[0]) && !slices.Contains(now, first[1])
	})
	w.filled()
	w.launch.mu.Lock()
	w.launch.broken = true
	w.launch.mu.Unlock()
	for _, s := range w.launch.waiting() {
		s.die()
	}
	w.until("none is ready", func() bool { return len(w.in()) == 0 })
	c := w.create("web", "sleep", true)
	if g := w.groupOf("web"); g != c.ID {
		t.Errorf("the cgroup is %s", g)
	}
	w.launch.mu.Lock()
	w.launch.broken = false
	w.launch.mu.Unlock()
	w.create("db", "sleep", true)
	w.filled() // it is tried again after the next start
}

// One that is killed when the monitor has it already is no hindrance either, and who is attached does not hear of it.
func TestWarmDies(t *testing.T) {
	w := warmWorld(t, 1)
	for _, s := range w.launch.waiting() {
		s.dying = true
	}
	near, far, err := monitor.NewStatus()
	w.ok(err)
	defer near.Close()
	_, a, err := w.e.Run(t.Context(), New{Image: "box", Settings: map[string]string{"command": "env"}}, AttachOptions{Status: far})
	w.ok(err)
	far.Close()
	a.Close()
	if s := readExit(t, near); s.Code != 0 {
		t.Errorf("%+v", s)
	}
	w.filled()
	ready := w.in()
	for _, s := range w.launch.waiting() {
		s.dying = true
	}
	w.create("web", "sleep", true)
	if g := w.groupOf("web"); !slices.Contains(ready, g) {
		t.Errorf("the cgroup is %s, ready was %v", g, ready)
	}
}

// The next daemon finds the cgroup of a run that began warm, and what the last one kept ready is gone.
func TestWarmRunOutlivesDaemon(t *testing.T) {
	w := warmWorld(t, 2)
	w.create("web", "sleep", true)
	group := w.groupOf("web")
	w.ok(w.e.Close())
	if got := w.in(); !slices.Equal(got, []string{group}) {
		t.Errorf("left are the cgroups %v", got)
	}
	w.open()
	if got := w.groupOf("web"); got != group || w.state("web") != Up {
		t.Errorf("it is %s, in the cgroup %s, which was %s", w.state("web"), got, group)
	}
	w.filled()
	w.ok(w.e.Stop(t.Context(), "web", 0))
	w.until("the run's cgroup is gone", func() bool { return len(w.in()) == 2 })
}

// Somebody who looks into a stopped container's files has them in one range of owners, which its start must keep.
func TestViewKeepsColdRange(t *testing.T) {
	w := warmWorld(t, 1)
	c := w.create("web", "sleep", false)
	v, err := w.e.View(t.Context(), "web")
	w.ok(err)
	w.ok(w.e.Start(t.Context(), "web"))
	if g := w.groupOf("web"); (v.Base != 0) != (g == c.ID) {
		t.Errorf("the view's owners begin at %d, the cgroup is %s", v.Base, g)
	}
	v.Release()
}

// Who has a place of its own already, or wants none, gets a process that is on no network, from the second such start on.
func TestWarmOtherNetworks(t *testing.T) {
	w := warmWorld(t, 1)
	start := func(name string, warm bool) *Container {
		t.Helper()
		w.ok(w.e.Start(t.Context(), name))
		w.filled()
		c := w.find(name)
		if got := strings.HasPrefix(c.group, warmPrefix); got != warm {
			t.Errorf("%s is in the cgroup %s", name, c.group)
		}
		return c
	}
	_, err := w.e.Create(t.Context(), New{Name: "alone", Image: "box", Settings: map[string]string{"command": "sleep", "network": "none"}})
	w.ok(err)
	web := w.create("web", "sleep", true)
	w.found(2, 2, 0) // another was made in the place of the one it took
	w.ok(w.e.Stop(t.Context(), "web", -1))
	start("alone", false)
	if again := start("web", true); !slices.Equal(again.Endpoints, web.Endpoints) {
		t.Errorf("it had %+v, and has %+v", web.Endpoints, again.Endpoints)
	}
	w.found(2, 2, 0)
	w.ok(w.e.Stop(t.Context(), "alone", -1))
	if alone := start("alone", true); len(alone.Endpoints) != 0 {
		t.Errorf("it has %+v", alone.Endpoints)
	}
	w.found(2, 2, 0)
}

// Places of processes that are no container's yet are nobody's who needs one.
func TestWarmGivesRoom(t *testing.T) {
	w := warmWorld(t, 1)
	w.links.mu.Lock()
	w.links.room, w.links.known = 1, append(w.links.known, "back")
	w.links.mu.Unlock()
	w.create("web", "sleep", false)
	w.ok(w.e.Set(t.Context(), "web", "network", "back"))
	w.ok(w.e.Start(t.Context(), "web"))
	w.links.mu.Lock()
	places := len(w.links.held[w.find("web").ID])
	w.links.mu.Unlock()
	if places != 1 {
		t.Errorf("it has %d places", places)
	}
	w.create("full", "sleep", false)
	w.ok(w.e.Set(t.Context(), "full", "network", "back"))
	w.want(w.e.Start(t.Context(), "full"), Space)
}

// After starts in a row as many are made as there were, up to a bound, when all is quiet and not before; and those that are more
// than usual do not stay.
func TestWarmSurplus(t *testing.T) {
	w := restlessWorld(t, 1)
	p := w.e.pool
	for i := range 5 {
		w.create("web"+strconv.Itoa(i), "sleep", true)
	}
	w.until("it is filled as usual", func() bool { return len(w.launch.waiting()) == 1 })
	if more := p.counts(p.low()); more[onDefault] != 5 || more[onNone] != 1 {
		t.Errorf("%v are to be ready", more)
	}
	if usual := p.counts(p.low()); usual[onDefault] != 1 {
		t.Errorf("%v are to be ready afterwards", usual)
	}
	p.mu.Lock()
	p.taken[onDefault] = 1000
	p.mu.Unlock()
	if most := p.counts(p.low()); most[onDefault] != mostWarm {
		t.Errorf("%v are to be ready at most", most)
	}
	if p.more() {
		t.Error("there are more than usual already")
	}
	for range 3 {
		w.ok(p.add(onDefault))
	}
	if !p.more() {
		t.Error("there are no more than usual")
	}
	p.throwAway(p.surplus)
	if n := len(w.launch.waiting()); n != 1 || p.more() {
		t.Errorf("%d are left, %v", n, p.more())
	}
	p.takeAll() // nobody's now
	p.mu.Lock()
	p.taken[onDefault] = 7
	p.mu.Unlock()
	if some := p.counts(p.low()); some[onDefault] != 1 || !p.low() {
		t.Errorf("%v are to be ready where there are none", some)
	}
}
