package fstest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"hull/fs"
)

type container struct {
	fs.Container
	values   map[string]string
	logs     map[string]*growing
	sessions []*fs.ContainerSession
	stubborn bool
}

// Containers is the fake as the tree's containers.
func (f *Fake) Containers() fs.Containers { return fakeContainers{f} }

// Stubborn makes a container ignore the signal of a stop: only a kill or the end of the grace ends it.
func (f *Fake) Stubborn(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.names[name].stubborn = true
}

// Address gives a container addresses and ports.
func (f *Fake) Address(name string, at []fs.Address, ports ...fs.Port) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.names[name].Addresses, f.names[name].Ports = at, ports
	f.change()
}

// Session shows a session in a container.
func (f *Fake) Session(name string, s fs.ContainerSession) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.names[name].sessions = append(f.names[name].sessions, &s)
}

type fakeContainers struct{ f *Fake }

func (s fakeContainers) List() []*fs.Container {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	return s.f.clist
}

func (s fakeContainers) Find(name string) (*fs.Container, bool) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	c := s.f.names[name]
	if c == nil {
		c = s.f.containers[name]
	}
	if c == nil && len(name) == 12 {
		for id, o := range s.f.containers {
			if strings.HasPrefix(id, name) {
				c = o
			}
		}
	}
	if c == nil {
		return nil, false
	}
	snapshot := c.Container
	return &snapshot, true
}

// get is called with mu held.
func (s fakeContainers) get(op, id string) (*container, error) {
	if c := s.f.containers[id]; c != nil {
		return c, nil
	}
	return nil, wrong(fs.Removed, op, "containers/"+id, "The container was removed.")
}

func (s fakeContainers) Create(ctx context.Context, n fs.NewContainer) (*fs.Container, error) {
	f := s.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.names[n.Name] != nil {
		return nil, wrong(fs.Exists, "create", "containers/"+n.Name, "The name %s is taken.", n.Name)
	}
	f.made++
	c := &container{
		Container: fs.Container{
			ID: strings.TrimPrefix(digest(fmt.Sprint("container", f.made)), "sha256:"), Name: n.Name, Image: n.Image,
			Status: "created", Owner: n.Owner.UID, Created: now(), Command: "sleep infinity",
		},
		values: map[string]string{}, logs: map[string]*growing{"logs": {}, "stdout": {}, "stderr": {}},
	}
	if n.Image != "" {
		c.values["image"] = n.Image + "\n"
	}
	f.names[c.Name], f.containers[c.ID] = c, c
	if n.Start {
		if err := s.start(c); err != nil {
			delete(f.names, c.Name)
			delete(f.containers, c.ID)
			return nil, err
		}
	}
	f.change()
	snapshot := c.Container
	return &snapshot, nil
}

func (s fakeContainers) start(c *container) error {
	ref := strings.TrimSpace(c.values["image"])
	if c.Running() {
		return wrong(fs.Busy, "start", "containers/"+c.Name, "The container %s runs already.", c.Name)
	}
	if ref == "" {
		return wrong(fs.Invalid, "start", "containers/"+c.Name, "The container %s has no image: write one to config/image.", c.Name)
	}
	i, ok := fakeImages(s).find(ref)
	if !ok {
		return wrong(fs.NotFound, "start", "containers/"+c.Name, "There is no image %s.", ref)
	}
	if strings.HasPrefix(c.values["command"], "nosuch") {
		return wrong(fs.NotFound, "start", "containers/"+c.Name, "There is no command nosuch in the image.")
	}
	c.Status, c.Image, c.ImageID, c.Started, c.Process, c.Error = "running", i.Reference, i.ID, now(), "4711", ""
	return nil
}

func (s fakeContainers) Start(_ context.Context, id string) error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	c, err := s.get("start", id)
	if err != nil {
		return err
	}
	if err := s.start(c); err != nil {
		return err
	}
	s.f.change()
	return nil
}

func (f *Fake) end(c *container, code int) {
	c.Status, c.Exit, c.Ended, c.Process = "exited", code, now(), ""
	f.change()
}

// Stop of a stubborn container waits for its grace or a kill.
func (s fakeContainers) Stop(ctx context.Context, id string, grace time.Duration) error {
	s.f.mu.Lock()
	c, err := s.get("stop", id)
	if err == nil && c.Running() {
		if c.stubborn {
			c.Status = "stopping"
			s.f.change()
		} else {
			s.f.end(c, 143)
		}
	}
	s.f.mu.Unlock()
	if err != nil {
		return err
	}
	if grace < 0 {
		grace = time.Hour
	}
	late, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if s.f.await(late, func() bool { return !c.Running() }) == nil {
		return nil
	}
	if ctx.Err() != nil {
		return wrong(fs.Interrupted, "stop", "containers/"+c.Name, "The wait was interrupted; the stop of %s goes on.", c.Name)
	}
	return s.Kill(ctx, id, "KILL")
}

func (s fakeContainers) Restart(ctx context.Context, id string, grace time.Duration) error {
	if err := s.Stop(ctx, id, grace); err != nil {
		return err
	}
	return s.Start(ctx, id)
}

func (s fakeContainers) Kill(_ context.Context, id, signal string) error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	c, err := s.get("kill", id)
	switch {
	case err != nil:
		return err
	case !slices.Contains([]string{"", "KILL", "SIGKILL", "9", "TERM"}, signal):
		return wrong(fs.Invalid, "kill", "containers/"+c.Name, "There is no signal %s.", signal)
	case !c.Running():
		return wrong(fs.NotRunning, "kill", "containers/"+c.Name, "The container %s does not run.", c.Name)
	}
	s.f.end(c, 137)
	return nil
}

func (s fakeContainers) Pause(_ context.Context, id string) error {
	return s.freeze("pause", id, "running", "paused")
}

func (s fakeContainers) Unpause(_ context.Context, id string) error {
	return s.freeze("unpause", id, "paused", "running")
}

func (s fakeContainers) Recreate(_ context.Context, id string) error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	_, err := s.get("recreate", id)
	return err
}

func (s fakeContainers) freeze(op, id, from, to string) error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	c, err := s.get(op, id)
	if err != nil {
		return err
	}
	if c.Status != from {
		return wrong(fs.NotRunning, op, "containers/"+c.Name, "The container %s is %s, not %s.", c.Name, c.Status, from)
	}
	c.Status = to
	s.f.change()
	return nil
}

// Chown refuses to give away a container that acts on the host.
func (s fakeContainers) Chown(_ context.Context, id string, uid uint32) error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	c, err := s.get("chown", id)
	if err != nil {
		return err
	}
	if c.Reaches && uid != 0 {
		return wrong(fs.Forbidden, "chown", "containers/"+c.Name, "The container %s has what only root may have.", c.Name)
	}
	c.Owner = uid
	s.f.change()
	return nil
}

// Reach makes a container one that acts on the host.
func (f *Fake) Reach(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.names[name].Reaches = true
	f.change()
}

func (s fakeContainers) Rename(_ context.Context, id, name string) error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	c, err := s.get("rename", id)
	if err != nil {
		return err
	}
	if s.f.names[name] != nil {
		return wrong(fs.Exists, "rename", "containers/"+name, "The name %s is taken.", name)
	}
	delete(s.f.names, c.Name)
	c.Name = name
	s.f.names[name] = c
	s.f.change()
	return nil
}

func (s fakeContainers) Commit(_ context.Context, id, ref string) error {
	f := s.f
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.containers[id]
	if c == nil {
		return wrong(fs.Removed, "commit", "containers/"+id, "The container was removed.")
	}
	f.images[ref] = &image{
		Image: fs.Image{Reference: ref, ID: digest("commit " + c.ID + ref), Status: "ready", Made: now()}, progress: &growing{},
	}
	f.change()
	return nil
}

func (s fakeContainers) Remove(_ context.Context, id string, force bool) error {
	s.f.mu.Lock()
	name := ""
	defer func() {
		s.f.mu.Unlock()
		if name != "" && s.f.Destroyed != nil {
			s.f.Destroyed(id, name)
		}
	}()
	c, err := s.get("remove", id)
	if err != nil {
		return err
	}
	if c.Running() && !force {
		return wrong(fs.Busy, "remove", "containers/"+c.Name, "The container %s is running: stop it first.", c.Name)
	}
	delete(s.f.names, c.Name)
	delete(s.f.containers, id)
	name = c.Name
	s.f.change()
	return nil
}

func (s fakeContainers) Wait(ctx context.Context, id string) error {
	return s.f.await(ctx, func() bool { c := s.f.containers[id]; return c == nil || !c.Running() })
}
