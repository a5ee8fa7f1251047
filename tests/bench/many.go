package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// atOnce has a contestant do what it does many times at once.
type atOnce struct {
	contestant
	s *setting
}

func (a *atOnce) prepare(ctx context.Context, s *setting) error {
	a.s = s
	return a.contestant.prepare(ctx, s)
}

func (a *atOnce) once(ctx context.Context) error {
	failures := make([]error, a.s.size.burst)
	var all sync.WaitGroup
	for i := range failures {
		all.Go(func() { failures[i] = a.contestant.once(ctx) })
	}
	all.Wait()
	return errors.Join(failures...)
}

// sustained has a contestant do what it does again and again for a while, so many
// at a time. The row shows the time and the processors' time of one.
type sustained struct {
	contestant
	lanes int
	s     *setting
	done  int
}

func (m *sustained) prepare(ctx context.Context, s *setting) error {
	m.s = s
	return m.contestant.prepare(ctx, s)
}

func (m *sustained) once(ctx context.Context) error {
	var done atomic.Int64
	failures := make([]error, m.lanes)
	end := time.Now().Add(m.s.size.sustain)
	var all sync.WaitGroup
	for i := range failures {
		all.Go(func() {
			for failures[i] == nil && time.Now().Before(end) {
				failures[i] = m.contestant.once(ctx)
				done.Add(1)
			}
		})
	}
	all.Wait()
	m.done = int(done.Load())
	return errors.Join(failures...)
}

func (m *sustained) times() int { return m.done }

// close ends what the contestant has, if anything.
func (m *sustained) close() error { return closeIt(m.contestant) }

func (a *atOnce) close() error { return closeIt(a.contestant) }

func closeIt(c contestant) error {
	if end, ok := c.(closer); ok {
		return end.close()
	}
	return nil
}

// among has a contestant start and remove containers while so many of hull's run.
type among struct {
	contestant
	step int // of size.running
	s    *setting
}

func (a *among) name() string {
	if a.s == nil {
		return fmt.Sprintf("%s, step %d", a.contestant.name(), a.step)
	}
	return fmt.Sprintf("%s, %d running", a.contestant.name(), a.s.size.running[a.step])
}

func (a *among) prepare(ctx context.Context, s *setting) error {
	a.s = s
	if err := s.pulled(ctx, s.registry.addr+"/sleeper:1"); err != nil {
		return err
	}
	return a.contestant.prepare(ctx, s)
}

// ready brings the number of running containers to what it is to be, and then the contestant to what it is after as many starts
// as there will be.
func (a *among) ready(ctx context.Context) error {
	if err := a.s.run(ctx, a.s.size.running[a.step]); err != nil {
		return err
	}
	if err := a.once(ctx); err != nil {
		return err
	}
	time.Sleep(clearing)
	return nil
}

func (a *among) once(ctx context.Context) error {
	for range a.times() {
		if err := a.contestant.once(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (a *among) times() int { return 20 }

func (a *among) close() error {
	if a.s == nil {
		return nil
	}
	return errors.Join(a.s.run(context.Background(), 0), closeIt(a.contestant))
}

// run makes so many containers run.
func (s *setting) run(ctx context.Context, count int) error {
	changes := max(count, s.running) - min(count, s.running)
	failures := make([]error, changes)
	slots := make(chan struct{}, 8)
	var all sync.WaitGroup
	for i := range failures {
		name := "r" + strconv.Itoa(min(count, s.running)+i)
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if count > s.running {
				failures[i] = os.Mkdir(s.tree()+"/images/"+s.registry.addr+"/sleeper:1/containers/"+name, 0o755)
			} else {
				failures[i] = os.WriteFile(s.tree()+"/containers/"+name+"/ctl", []byte("remove force\n"), 0)
			}
		})
	}
	all.Wait()
	s.running = count
	time.Sleep(time.Duration(changes) * 10 * time.Millisecond) // the kernel tidies up behind
	return errors.Join(append(failures, ctx.Err())...)
}
