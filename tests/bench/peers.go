package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
)

// bundle is runc or crun with a bare bundle: no image, no network, no logs.
type bundle struct {
	program, dir string
	args         []string
	space        *space
	count        atomic.Int64
}

func (b *bundle) name() string { return b.program + " run (bare bundle)" }

func (b *bundle) prepare(ctx context.Context, s *setting) error {
	b.args = []string{"true"}
	if err := b.make(ctx, s, b.program); err != nil {
		return err
	}
	return b.once(ctx)
}

// make makes the bundle.
func (b *bundle) make(ctx context.Context, s *setting, dir string) (err error) {
	if _, err := exec.LookPath(b.program); err != nil {
		return err
	}
	if b.space, err = s.oldCgroups(ctx); err != nil {
		return err
	}
	b.dir = filepath.Join(s.dir, dir)
	if _, err := os.Stat(b.dir); err == nil { // of another row
		return nil
	}
	if err := s.rootfs(b.dir + "/rootfs"); err != nil {
		return err
	}
	spec := exec.CommandContext(ctx, b.program, "spec")
	spec.Dir = b.dir
	if _, err := output(spec); err != nil {
		return err
	}
	return b.configure()
}

// quiet runs the program, whose output nobody wants.
func (b *bundle) quiet(ctx context.Context, args ...string) error {
	return b.space.run(exec.CommandContext(ctx, b.program, args...), true)
}

// configure makes the default spec run the command without a terminal, on a
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
	p["terminal"], p["args"] = false, b.args
	delete(p, "rlimits")
	if text, err = json.Marshal(c); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

func (b *bundle) once(ctx context.Context) error {
	id := fmt.Sprintf("hull-bench-%d-%d", os.Getpid(), b.count.Add(1))
	return b.space.run(exec.CommandContext(ctx, b.program, "run", "--bundle", b.dir, id), false)
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
	_, err := output(p.run(ctx, imageName))
	return err
}

func (p *podmanRun) run(ctx context.Context, args ...string) *exec.Cmd {
	// Limits that this user may not raise are given as they are.
	return p.s.podmanCommand(ctx, append([]string{"run", "--rm", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"}, args...)...)
}

// dockerRun is docker with a daemon of its own.
type dockerRun struct {
	s       *setting
	network string // empty: none
}

func (d *dockerRun) name() string {
	if d.network != "" {
		return "docker run --rm --network " + d.network
	}
	return "docker run --rm"
}

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
	_, err := output(d.s.dockerCommand(ctx, "run", "--rm", "--network", cmp.Or(d.network, "none"), imageName))
	return err
}
