package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
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
	if out, err := spec.CombinedOutput(); err != nil {
		return fmt.Errorf("spec: %w: %s", err, out)
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
	out, err := exec.CommandContext(ctx, b.program, "run", "--bundle", b.dir, "hull-bench-"+strconv.Itoa(b.count)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func (*bundle) close() {}

// podman with storage of its own.
type podman struct{ root []string }

func (*podman) name() string { return "podman run --rm" }

func (p *podman) prepare(ctx context.Context, s *setting) error {
	if _, err := exec.LookPath("podman"); err != nil {
		return err
	}
	p.root = []string{"--root", s.dir + "/podman", "--runroot", s.dir + "/podman-run", "--runtime", "runc"}
	archive, err := s.archive()
	if err != nil {
		return err
	}
	if out, err := p.command(ctx, "load", "-q", "-i", archive).CombinedOutput(); err != nil {
		return fmt.Errorf("load: %w: %s", err, out)
	}
	return p.once(ctx)
}

func (p *podman) command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "podman", append(append([]string{}, p.root...), args...)...)
}

func (p *podman) once(ctx context.Context) error {
	// Limits that this user may not raise are given as they are.
	out, err := p.command(ctx, "run", "--rm", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", imageName).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func (*podman) close() {}

// docker with a daemon of its own.
type docker struct {
	host   string
	daemon *exec.Cmd
}

func (*docker) name() string { return "docker run --rm" }

func (d *docker) prepare(ctx context.Context, s *setting) error {
	for _, p := range []string{"dockerd", "docker"} {
		if _, err := exec.LookPath(p); err != nil {
			return err
		}
	}
	d.host = "unix://" + s.dir + "/docker.sock"
	log, err := os.Create(s.dir + "/dockerd.log")
	if err != nil {
		return err
	}
	defer log.Close()
	d.daemon = exec.CommandContext(ctx, "dockerd", "-H", d.host, "--data-root", s.dir+"/docker", "--exec-root", s.dir+"/docker-exec", "--pidfile", s.dir+"/docker.pid")
	d.daemon.Stdout, d.daemon.Stderr = log, log
	if err := d.daemon.Start(); err != nil {
		return err
	}
	deadline := time.Now().Add(30 * time.Second)
	for d.command(ctx, "info").Run() != nil {
		if time.Now().After(deadline) {
			return fmt.Errorf("dockerd does not answer, see its log")
		}
		time.Sleep(50 * time.Millisecond)
	}
	archive, err := s.archive()
	if err != nil {
		return err
	}
	if out, err := d.command(ctx, "load", "-q", "-i", archive).CombinedOutput(); err != nil {
		return fmt.Errorf("load: %w: %s", err, out)
	}
	return d.once(ctx)
}

func (d *docker) command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "docker", append([]string{"-H", d.host}, args...)...)
}

func (d *docker) once(ctx context.Context) error {
	out, err := d.command(ctx, "run", "--rm", imageName).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func (d *docker) close() {
	if d.daemon == nil || d.daemon.Process == nil {
		return
	}
	_ = d.daemon.Process.Signal(os.Interrupt)
	_ = d.daemon.Wait()
}
