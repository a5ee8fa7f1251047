package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// crowd is many containers of an engine, that sleep.
type crowd interface {
	name() string
	prepare(ctx context.Context, s *setting) error
	// count is how many there are to be, and how large everything is.
	count() (int, size)
	// run makes so many run.
	run(ctx context.Context, count int) error
	// own are the engine's processes: all but the containers'.
	own() ([]process, error)
	close() error
}

// inLanes does something for each number, eight at a time.
func inLanes(from, to int, do func(i int) error) error {
	failures := make([]error, max(0, to-from))
	slots := make(chan struct{}, 8)
	var all sync.WaitGroup
	for i := range failures {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			failures[i] = do(from + i)
		})
	}
	all.Wait()
	return errors.Join(failures...)
}

// hullCrowd is a mount of its own, so that its memory is not what others have left of it.
type hullCrowd struct {
	s       *setting
	at      mount
	running int
}

func (*hullCrowd) name() string { return "hull" }

func (h *hullCrowd) count() (int, size) { return h.s.size.crowd, h.s.size }

func (h *hullCrowd) prepare(ctx context.Context, s *setting) error {
	h.s, h.at = s, s.warm
	h.at.mounted = false
	h.at.dir, h.at.store, h.at.run = s.dir+"/hull-crowd", s.dir+"/store-crowd", s.dir+"/run-crowd"
	return h.at.pulled(ctx, s.registry.addr+"/sleeper:1")
}

func (h *hullCrowd) run(ctx context.Context, count int) error {
	began := h.running
	h.running = count
	if err := inLanes(began, count, func(i int) error {
		return os.Mkdir(h.at.dir+"/images/"+h.s.registry.addr+"/sleeper:1/containers/r"+strconv.Itoa(i), 0o755)
	}); err != nil {
		return err
	}
	return inLanes(count, began, func(i int) error {
		return os.WriteFile(h.at.dir+"/containers/r"+strconv.Itoa(i)+"/ctl", []byte("remove force\n"), 0)
	})
}

// own are the monitor, the daemon, what is made beforehand, and what is made for sessions.
func (h *hullCrowd) own() ([]process, error) {
	all, err := processesNow()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(p process) bool {
		return strings.Contains(p.command, " monitor {") && strings.Contains(p.command, h.at.store+`"`)
	})
	if i < 0 {
		return nil, errors.New("hull's monitor is not there")
	}
	theirs := map[int]bool{}
	for n := range h.running {
		text, err := os.ReadFile(h.at.dir + "/containers/r" + strconv.Itoa(n) + "/pid")
		if err != nil {
			return nil, err
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return nil, err
		}
		theirs[pid] = true
	}
	return slices.DeleteFunc(append(under(all, all[i].pid), all[i]), func(p process) bool { return theirs[p.pid] }), nil
}

func (h *hullCrowd) close() error {
	if h.s == nil {
		return nil
	}
	err := h.run(context.Background(), 0)
	h.at.close()
	h.at.mounted = false
	return err
}

type dockerCrowd struct {
	fresh   bool // with a daemon that has done nothing else
	s       *setting
	running int
}

func (*dockerCrowd) name() string { return "docker" }

func (d *dockerCrowd) count() (int, size) { return d.s.size.peers, d.s.size }

func (d *dockerCrowd) prepare(ctx context.Context, s *setting) error {
	if d.fresh && s.docker != nil {
		s.endDocker()
	}
	if err := s.dockerd(ctx); err != nil {
		return err
	}
	d.s = s
	archive, err := s.archive()
	if err == nil {
		_, err = output(s.dockerCommand(ctx, "load", "-q", "-i", archive))
	}
	return err
}

func (d *dockerCrowd) run(ctx context.Context, count int) error {
	began := d.running
	d.running = count
	if err := inLanes(began, count, func(i int) error {
		_, err := output(d.s.dockerCommand(ctx, "run", "-d", "--network", "none", "--name", "r"+strconv.Itoa(i), imageName, "sleep", "1000"))
		return err
	}); err != nil {
		return err
	}
	return inLanes(count, began, func(i int) error {
		_, err := output(d.s.dockerCommand(context.WithoutCancel(ctx), "rm", "-f", "r"+strconv.Itoa(i)))
		return err
	})
}

// own are dockerd, containerd, and a shim for each container.
func (d *dockerCrowd) own() ([]process, error) {
	all, err := processesNow()
	return slices.DeleteFunc(all, func(p process) bool {
		return !strings.Contains(p.command, d.s.dir+"/docker") || !strings.Contains(p.command, "dockerd") && !strings.Contains(p.command, "containerd")
	}), err
}

func (d *dockerCrowd) close() error {
	if d.s == nil {
		return nil
	}
	return d.run(context.Background(), 0)
}

// podmanCrowd has no daemon, but a conmon for each container.
type podmanCrowd struct {
	s       *setting
	running int
}

func (*podmanCrowd) name() string { return "podman" }

func (p *podmanCrowd) count() (int, size) { return p.s.size.peers, p.s.size }

func (p *podmanCrowd) prepare(ctx context.Context, s *setting) error {
	if _, err := exec.LookPath("podman"); err != nil {
		return err
	}
	p.s = s
	archive, err := s.archive()
	if err == nil {
		_, err = output(s.podmanCommand(ctx, "load", "-q", "-i", archive))
	}
	return err
}

func (p *podmanCrowd) run(ctx context.Context, count int) error {
	began := p.running
	p.running = count
	for i := began; i < count; i++ {
		runs := &podmanRun{s: p.s}
		c := runs.run(ctx, "--rm=false", "-d", "--network", "none", "--name", "r"+strconv.Itoa(i), imageName, "sleep", "1000")
		if _, err := output(c); err != nil {
			return err
		}
	}
	for i := count; i < began; i++ {
		if _, err := output(p.s.podmanCommand(context.WithoutCancel(ctx), "rm", "-f", "-t", "0", "r"+strconv.Itoa(i))); err != nil {
			return err
		}
	}
	return nil
}

func (p *podmanCrowd) own() ([]process, error) {
	all, err := processesNow()
	return slices.DeleteFunc(all, func(q process) bool {
		return !strings.Contains(q.command, "conmon") || !strings.Contains(q.command, p.s.dir+"/podman")
	}), err
}

func (p *podmanCrowd) close() error {
	if p.s == nil {
		return nil
	}
	return p.run(context.Background(), 0)
}
