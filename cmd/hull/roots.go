package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"hull/engine"
	"hull/fs"
	"hull/layers"
)

// roots gives the engine what it needs of the store.
type roots struct{ store *layers.Store }

func (r roots) Parse(name string) (string, error) {
	s, err := r.store.Parse(name)
	return s, toEngine("set", err)
}

func (roots) Platform(word string) error {
	_, err := layers.ParsePlatform(word)
	return toEngine("set", err)
}

func (r roots) Image(_ context.Context, name, platform string) (*engine.Image, error) {
	m, ok, err := r.store.FindFor(name, platform)
	if err != nil {
		return nil, toEngine("start", err)
	}
	if other, here := r.store.Find(name); !ok && here {
		last := ""
		if other.Error != "" {
			last = "; the last pull failed: " + other.Error
		}
		return nil, &engine.Error{Op: "start", Kind: engine.NotFound, Err: fmt.Errorf(
			"the image %s that is here is for %s, and the setting platform asks for %s: pull it for that first, with ./pull --platform %[3]s %[1]s%s", name, other.Platform, platform, last)}
	}
	if !ok {
		return nil, &engine.Error{Op: "start", Kind: engine.NotFound, Err: errors.New("there is no image " + name + " here: pull it first with mkdir images/" + name)}
	}
	if !m.Usable() {
		if m.Status == layers.Failed {
			return nil, &engine.Error{Op: "start", Kind: engine.NotFound, Err: errors.New("the image " + name + " is not here, since its pull failed: " + m.Error)}
		}
		return nil, engine.ErrPulling
	}
	c, err := r.store.ImageConfig(m.ID)
	if err != nil {
		return nil, toEngine("start", err)
	}
	out := &engine.Image{
		ID: m.ID, Reference: m.Reference, Platform: m.Platform, Entrypoint: c.Config.Entrypoint, Cmd: c.Config.Cmd, Env: c.Config.Env,
		User: c.Config.User, WorkingDir: c.Config.WorkingDir, StopSignal: c.Config.StopSignal, Labels: c.Config.Labels,
	}
	if h := c.Config.Healthcheck; h != nil {
		out.Health = &engine.Healthcheck{Test: h.Test, Interval: h.Interval, Timeout: h.Timeout, Start: h.StartPeriod, Retries: h.Retries}
	}
	for p := range c.Config.ExposedPorts {
		out.Ports = append(out.Ports, p)
	}
	for v := range c.Config.Volumes {
		out.Volumes = append(out.Volumes, v)
	}
	return out, nil
}

func (r roots) Wait(ctx context.Context, name string) error {
	return toEngine("start", r.store.Wait(ctx, name))
}

func (r roots) Hold(imageID, containerID string) error {
	return toEngine("start", r.store.Hold(imageID, containerID))
}

func (r roots) Release(imageID, containerID string) { r.store.Release(imageID, containerID) }

func (r roots) Mount(ctx context.Context, imageID string, upper, users *os.File, base uint32, readOnly bool) (*os.File, error) {
	f, err := r.store.Mount(ctx, imageID, upper, users, base, readOnly)
	return f, toEngine("start", err)
}

// viewIdle is how long other people's files stay mounted after they were last looked at; 0 is what the packages think
// best. Tests set it, which cannot wait that long.
func viewIdle() time.Duration {
	d, err := time.ParseDuration(os.Getenv("HULL_VIEW_IDLE"))
	if err != nil {
		return 0
	}
	return d
}

// treePatience is HULL_PATIENCE, for tests: how long a mkdir, rmdir or mv may keep a directory from being listed.
func treePatience() time.Duration {
	d, err := time.ParseDuration(os.Getenv("HULL_PATIENCE"))
	if err != nil {
		return 0
	}
	return d
}

// views gives the tree file systems to look into.
type views struct {
	store  *layers.Store
	engine *engine.Engine
}

func (v views) ImageRoot(ctx context.Context, id string) (*fs.Root, error) {
	w, err := v.store.View(ctx, id)
	if err != nil {
		return nil, fromStore("images/"+id, err)
	}
	return &fs.Root{Dir: w.Dir, ReadOnly: true, Mark: w.Mark, Gone: w.Gone, Release: w.Release}, nil
}

func (v views) LayerRoot(ctx context.Context, id string) (*fs.Root, error) {
	dir, err := v.store.LayerView(ctx, id)
	if err != nil {
		return nil, fromStore("layers/"+id, err)
	}
	return &fs.Root{Dir: dir, ReadOnly: true, Release: func() { _ = dir.Close() }}, nil // nothing was written
}

func (v views) ContainerRoot(ctx context.Context, id string) (*fs.Root, error) {
	w, err := v.engine.View(ctx, id)
	if err != nil {
		return nil, fromEngine("containers/"+id, err)
	}
	return &fs.Root{Dir: w.Dir, Base: w.Base, Gone: w.Gone, Release: w.Release}, nil
}
