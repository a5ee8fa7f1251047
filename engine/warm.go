package engine

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hull/engine/launch"
	"hull/engine/network"
)

// pool makes containers' first processes before they are needed, with their id range, cgroup, namespaces and all that
// comes from the kernel in them, so that a start does only what cannot be done before. A start takes one that serves it,
// and makes its own if there is none; the pool is filled up again in the background, when all is quiet or there are few
// left, and when somebody has killed one. After many starts in a row there are more for a while, for as many again. On their own
// the processes sleep: nothing in the daemon wakes up for them.
//
// Most have a place on the default network. From the first start on that can do nothing with such a place, as many are kept
// without: they serve all others, and get places, if any, when they are taken.
//
// They are born of the monitor like all others. Those of a daemon that is killed end by themselves, the monitor reaps
// them, and the next daemon sweeps their cgroups away.
type pool struct {
	e      *Engine
	size   int             // how many are kept of each kind, when not more are
	ctx    context.Context //nolint:containedctx // the pool's own life
	cancel context.CancelFunc
	done   chan struct{}  // closed when nothing fills the pool any more
	short  chan struct{}  // has a token when it should be looked after
	eyes   sync.WaitGroup // each waits for the death of a process that is ready
	killed atomic.Bool    // one of them has seen it

	making sync.Mutex // held while one is made, and while none may be; taken before mu
	mu     sync.Mutex
	wanted [networkings]bool // which are kept
	ready  [networkings][]*warmInit
	taken  [networkings]int // how many were asked for since all was quiet
}

const (
	// mostWarm is how many of a kind are kept after starts in a row, if that is more than usual, and surplusFor for how long.
	mostWarm   = 32
	surplusFor = 10 * time.Second
)

// warmNetworking is what a process made beforehand has of networks.
type warmNetworking int

const (
	onDefault warmNetworking = iota // a place on the default network
	onNone                          // no link yet
	networkings
)

// warmInit is such a process and what belongs to it.
type warmInit struct {
	staged staged
	group  group
	name   string // of the group
	lease  *lease
	places []network.Endpoint // on the default network
	ignore context.CancelFunc // ends the waiting for its death
}

// newPool makes an empty pool.
func (e *Engine) newPool(size int) *pool {
	p := &pool{e: e, size: size, done: make(chan struct{}), short: make(chan struct{}, 1), wanted: [networkings]bool{onDefault: true}}
	p.ctx, p.cancel = context.WithCancel(e.ctx)
	close(p.done)
	return p
}

// begin begins to fill it; with a size of 0 it stays empty. By then every container that runs has said which range of
// ids is its own.
func (p *pool) begin() {
	if p.size <= 0 {
		return
	}
	p.done = make(chan struct{})
	if !p.e.spawn(p.fill) {
		close(p.done)
		return
	}
	p.refill()
}

// refill has the pool filled up in the background.
func (p *pool) refill() {
	select {
	case p.short <- struct{}{}:
	default:
	}
}

// fill is the pool's goroutine. What cannot be made is tried again after the next start, whose own error says more.
func (p *pool) fill() {
	defer close(p.done)
	failed := false
	var rest <-chan time.Time // until when there may be more than usual; nil if there are not
	for {
		switch more := p.more(); {
		case !more:
			rest = nil
		case rest == nil:
			rest = time.After(surplusFor)
		}
		select {
		case <-p.ctx.Done():
			return
		case <-rest:
			p.throwAway(p.surplus)
			continue
		case <-p.short:
		}
		for p.bury(); !p.low() && p.e.quiet.wait(p.ctx, p.short); p.bury() {
			// another has been taken, or killed
		}
		low := p.low()
		counts := p.counts(low)
		var err error
		for kind := range networkings {
			for one := error(nil); one == nil && p.wants(kind, counts[kind]); {
				one = p.add(kind)
				err = errors.Join(err, one)
			}
		}
		if err != nil && p.ctx.Err() == nil && !failed {
			p.e.o.Logger.Warn("no process can be made for a container beforehand: starts take longer", "op", "refill", "err", err)
		}
		failed = err != nil
		if low && !failed { // the rest when all is quiet
			p.refill()
		}
	}
}

// add makes one more.
func (p *pool) add(kind warmNetworking) error {
	p.making.Lock()
	defer p.making.Unlock()
	w, err := p.make(kind)
	if kind == onDefault && network.KindOf(err) == network.Unsupported { // whoever wants one hears of it
		p.mu.Lock()
		defer p.mu.Unlock()
		p.wanted = [networkings]bool{onNone: true}
		p.refill()
		return nil
	}
	if err == nil {
		p.put(kind, w)
	}
	return err
}

// without does something while there is no such process: they have places on the default network.
func (p *pool) without(do func() error) error {
	p.making.Lock()
	defer p.making.Unlock()
	for _, w := range p.takeAll() {
		p.discard(w)
	}
	defer p.refill()
	return do()
}

// giving does something that needs room on networks, and once more without such processes if there is none.
func (p *pool) giving(do func() error) error {
	err := do()
	if network.KindOf(err) == network.Full {
		err = p.without(do)
	}
	return err
}

func (p *pool) takeAll() []*warmInit {
	p.mu.Lock()
	defer p.mu.Unlock()
	ready := slices.Concat(p.ready[:]...)
	p.ready = [networkings][]*warmInit{}
	return ready
}

// wants tells whether there are too few of a kind.
func (p *pool) wants(kind warmNetworking, count int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ctx.Err() == nil && p.wanted[kind] && len(p.ready[kind]) < count
}

// few is how many are too few to wait until all is quiet, where size is usual.
func few(size int) int { return size / 8 }

// low tells whether there are so few of a kind that filling up cannot wait until all is quiet: one is made in less time than a
// start takes.
func (p *pool) low() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for kind, wanted := range p.wanted {
		if wanted && len(p.ready[kind]) <= few(p.size) {
			return true
		}
	}
	return false
}

// counts are how many of each kind are to be ready now: if there are too few that can wait, some; else as many as usual, or as
// were taken lately.
func (p *pool) counts(low bool) (counts [networkings]int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for kind := range counts {
		counts[kind] = min(p.size, few(p.size)+4)
		if !low {
			counts[kind] = max(p.size, min(p.taken[kind], mostWarm))
			p.taken[kind] = 0
		}
	}
	return counts
}

// more tells whether there are more than usual of a kind.
func (p *pool) more() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.ready[:], func(ready []*warmInit) bool { return len(ready) > p.size })
}

func (p *pool) put(kind warmNetworking, w *warmInit) {
	ctx, cancel := context.WithCancel(p.ctx)
	w.ignore = cancel
	p.eyes.Go(func() {
		if w.staged.Died(ctx) {
			p.killed.Store(true)
			p.refill()
		}
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ready[kind] = append(p.ready[kind], w)
}

// throwAway takes back some of the processes.
func (p *pool) throwAway(which func(ready []*warmInit) (keep, drop []*warmInit)) {
	p.making.Lock() // what has a place on the default network is ready, or given back
	defer p.making.Unlock()
	p.mu.Lock()
	var all []*warmInit
	for kind, ready := range p.ready {
		var drop []*warmInit
		p.ready[kind], drop = which(ready)
		all = append(all, drop...)
	}
	p.mu.Unlock()
	for _, w := range all {
		p.discard(w)
	}
}

// bury takes back those that somebody has killed.
func (p *pool) bury() {
	if !p.killed.Swap(false) {
		return
	}
	p.throwAway(func(ready []*warmInit) (keep, drop []*warmInit) {
		for _, w := range ready {
			if w.staged.Alive() {
				keep = append(keep, w)
			} else {
				drop = append(drop, w)
			}
		}
		return keep, drop
	})
}

// surplus picks those that are more than usual.
func (p *pool) surplus(ready []*warmInit) (keep, drop []*warmInit) {
	n := max(0, len(ready)-p.size)
	return slices.Clone(ready[n:]), ready[:n]
}

// make makes a process for a container with no settings but, maybe, its network.
func (p *pool) make(kind warmNetworking) (_ *warmInit, err error) {
	w := &warmInit{name: warmPrefix + newID()[:12]}
	var undo []func()
	defer func() {
		for i := len(undo) - 1; err != nil && i >= 0; i-- {
			undo[i]()
		}
	}()
	var ok bool
	if w.lease, ok = p.e.ranges.lease(0); !ok {
		return nil, fail("refill", "", Busy, "all %d ranges of user ids are taken", rangeCount)
	}
	undo = append(undo, w.lease.drop)
	if w.group, err = p.e.parts.groups.Create(w.name, values{}.limits()); err != nil {
		return nil, err
	}
	undo = append(undo, func() { p.remove(w.group) })
	spec := values{}.stage()
	spec.Range.First = w.lease.first
	if kind == onDefault {
		if err := p.place(w, &spec); err != nil {
			return nil, err
		}
	}
	undo = append(undo, func() { p.e.links.Release(w.name) })
	if spec.Cgroups, err = w.group.Join(); err != nil {
		return nil, err
	}
	defer closeAll(spec.Cgroups...)
	w.staged, err = p.e.parts.launcher.Stage(p.ctx, spec)
	return w, err
}

// place gives the process a place on the default network.
func (p *pool) place(w *warmInit, spec *launch.Spec) error {
	place, err := p.e.links.Lease(p.ctx, w.name, network.Endpoint{Network: network.Default, Name: linkName(0)})
	if err != nil {
		return err
	}
	w.places = []network.Endpoint{place}
	spec.Plug = func(ctx context.Context, netns *os.File) error { return p.e.links.Plug(ctx, netns, w.places) }
	return nil
}

// warmPrefix begins the names of cgroups that were made before their container was known.
const warmPrefix = "warm-"

// take gives a process that can become the container of a Spec, of the first kind of which there is one; nil if there is
// none. It never waits.
func (p *pool) take(spec launch.Spec, kinds ...warmNetworking) *warmInit {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, kind := range kinds {
		if n == 0 {
			p.wanted[kind] = true
			p.taken[kind]++
		}
		for i, w := range slices.Backward(p.ready[kind]) {
			if w.staged.Alive() && w.staged.Serves(spec) {
				p.ready[kind] = slices.Delete(p.ready[kind], i, i+1)
				w.ignore()
				return w
			}
		}
	}
	return nil
}

// discard takes back a process that nobody will need.
func (p *pool) discard(w *warmInit) {
	w.ignore()
	w.staged.Abort()
	p.e.links.Release(w.name)
	p.remove(w.group)
	w.lease.drop()
}

func (p *pool) remove(g group) {
	if err := g.Remove(p.e.ctx); err != nil && p.e.ctx.Err() == nil {
		p.e.o.Logger.Warn("a cgroup cannot be removed", "op", "refill", "err", err)
	}
}

// close ends the filling and takes all processes back: it comes before the engine's own end, which reaps nothing more.
func (p *pool) close() {
	p.cancel()
	<-p.done
	p.eyes.Wait()
	for _, w := range p.takeAll() {
		w.staged.Abort() // the engine's end sweeps the groups away
		p.e.links.Release(w.name)
		w.lease.drop()
	}
}

// stage is what settings say about a process's stage, which is built before anything of a container's own is there. With
// no settings it is what the pool makes: a setting that is looked at here costs its containers the warm start.
func (v values) stage() launch.Spec {
	spec := launch.Spec{Range: launch.IDRange{Size: rangeSize}}
	v.kernel(&spec)
	return spec
}
