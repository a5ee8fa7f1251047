package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// bundle is runc or crun with a bare bundle: no image, no network, no logs.
type bundle struct {
	program, dir string
	count        int
}

func (b *bundle) name() string { return b.program + " run (bare bundle)" }

func (b *bundle) prepare(ctx context.Context, s *setting) error {
	if _, err := exec.LookPath(b.program); err != nil {
		return err
	}
	b.dir = filepath.Join(s.dir, b.program)
	if err := s.rootfs(b.dir + "/rootfs"); err != nil {
		return err
	}
	spec := exec.CommandContext(ctx, b.program, "spec")
	spec.Dir = b.dir
	if _, err := output(spec); err != nil {
		return err
	}
	if err := b.configure(); err != nil {
		return err
	}
	return b.once(ctx)
}

// configure makes the default spec run `true` without a terminal, on a
// machine whose limits cannot be raised.
func (b *bundle) configure() error {
	path := b.dir + "/config.json"
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var c map[string]any
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	p, ok := c["process"].(map[string]any)
	if !ok {
		return fmt.Errorf("%s has no process", path)
	}
	p["terminal"], p["args"] = false, []string{"true"}
	delete(p, "rlimits")
	if text, err = json.Marshal(c); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

func (b *bundle) once(ctx context.Context) error {
	b.count++
	_, err := output(exec.CommandContext(ctx, b.program, "run", "--bundle", b.dir, "hull-bench-"+strconv.Itoa(b.count)))
	return err
}

// podmanRun is podman with storage of its own.
type podmanRun struct{ s *setting }

func (*podmanRun) name() string { return "podman run --rm" }

func (p *podmanRun) prepare(ctx context.Context, s *setting) error {
	p.s = s
	archive, err := s.archive()
	if err != nil {
		return err
	}
	if _, err := output(s.podmanCommand(ctx, "load", "-q", "-i", archive)); err != nil {
		return err
	}
	return p.once(ctx)
}

func (p *podmanRun) once(ctx context.Context) error {
	// Limits that this user may not raise are given as they are.
	_, err := output(p.s.podmanCommand(ctx, "run", "--rm", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", imageName))
	return err
}

// dockerRun is docker with a daemon of its own.
type dockerRun struct{ s *setting }

func (*dockerRun) name() string { return "docker run --rm" }

func (d *dockerRun) prepare(ctx context.Context, s *setting) error {
	d.s = s
	if err := s.dockerd(ctx); err != nil {
		return err
	}
	archive, err := s.archive()
	if err != nil {
		return err
	}
	if _, err := output(s.dockerCommand(ctx, "load", "-q", "-i", archive)); err != nil {
		return err
	}
	return d.once(ctx)
}

func (d *dockerRun) once(ctx context.Context) error {
	_, err := output(d.s.dockerCommand(ctx, "run", "--rm", "--network", "none", imageName))
	return err
}
