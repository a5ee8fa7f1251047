package main

import (
	"context"
	"os"
	"os/exec"
	"strconv"
)

// The contestants of exec: `true` in a container that runs `sleep`.

// hullExec executes a file of the tree.
type hullExec struct{ s *setting }

func (*hullExec) name() string { return "hull (exec/true)" }

func (h *hullExec) prepare(ctx context.Context, s *setting) error {
	h.s = s
	if err := s.pulled(ctx, s.registry.addr+"/sleeper:1"); err != nil {
		return err
	}
	if err := os.Mkdir(s.tree()+"/images/"+s.registry.addr+"/sleeper:1/containers/sleeper", 0o755); err != nil {
		return err
	}
	return h.once(ctx)
}

func (h *hullExec) once(ctx context.Context) error {
	_, err := output(exec.CommandContext(ctx, h.s.tree()+"/containers/sleeper/exec/true"))
	return err
}

func (h *hullExec) close() error {
	if h.s == nil {
		return nil
	}
	return os.WriteFile(h.s.tree()+"/containers/sleeper/ctl", []byte("remove force\n"), 0)
}

// bundleExec is runc's or crun's exec.
type bundleExec struct {
	bundle
	id string
}

func (b *bundleExec) name() string { return b.program + " exec" }

func (b *bundleExec) prepare(ctx context.Context, s *setting) error {
	b.args = []string{"sleep", "1000000"}
	if err := b.make(ctx, s, b.program+"-exec"); err != nil {
		return err
	}
	id := "hull-bench-sleeper-" + strconv.Itoa(os.Getpid())
	if err := b.quiet(ctx, "run", "--detach", "--bundle", b.dir, id); err != nil {
		return err
	}
	b.id = id
	return b.once(ctx)
}

func (b *bundleExec) once(ctx context.Context) error {
	return b.quiet(ctx, "exec", b.id, "true")
}

func (b *bundleExec) close() error {
	if b.id == "" {
		return nil
	}
	return b.quiet(context.Background(), "delete", "--force", b.id)
}

// dockerExec and podmanExec are theirs.
type dockerExec struct{ dockerRun }

func (*dockerExec) name() string { return "docker exec" }

func (d *dockerExec) prepare(ctx context.Context, s *setting) error {
	if err := d.dockerRun.prepare(ctx, s); err != nil {
		return err
	}
	if _, err := output(s.dockerCommand(ctx, "run", "--rm", "--detach", "--name", "sleeper", "--network", "none", imageName, "sleep", "1000000")); err != nil {
		return err
	}
	return d.once(ctx)
}

func (d *dockerExec) once(ctx context.Context) error {
	_, err := output(d.s.dockerCommand(ctx, "exec", "sleeper", "true"))
	return err
}

func (d *dockerExec) close() error {
	if d.s == nil {
		return nil
	}
	_, err := output(d.s.dockerCommand(context.Background(), "rm", "--force", "sleeper"))
	return err
}

type podmanExec struct{ podmanRun }

func (*podmanExec) name() string { return "podman exec" }

func (p *podmanExec) prepare(ctx context.Context, s *setting) error {
	if err := p.podmanRun.prepare(ctx, s); err != nil {
		return err
	}
	if _, err := output(p.run(ctx, "--detach", "--name", "sleeper", imageName, "sleep", "1000000")); err != nil {
		return err
	}
	return p.once(ctx)
}

func (p *podmanExec) once(ctx context.Context) error {
	_, err := output(p.s.podmanCommand(ctx, "exec", "sleeper", "true"))
	return err
}

func (p *podmanExec) close() error {
	if p.s == nil {
		return nil
	}
	_, err := output(p.s.podmanCommand(context.Background(), "rm", "--force", "--time", "0", "sleeper"))
	return err
}
