package main

import (
	"context"
	"os"
	"os/exec"
)

// mount is a mount of hull.
type mount struct {
	hull, dir, store, run string
	flags                 []string
	mounted               bool
}

// mount mounts it, once.
func (m *mount) mount(ctx context.Context) error {
	if m.mounted {
		return nil
	}
	args := append([]string{"mount", "--background", "--store", m.store, "--run", m.run}, m.flags...)
	_, err := output(exec.CommandContext(ctx, m.hull, append(args, m.dir)...))
	m.mounted = err == nil
	return err
}

// pulled makes sure that an image is there.
func (m *mount) pulled(ctx context.Context, name string) error {
	if err := m.mount(ctx); err != nil {
		return err
	}
	dir := m.dir + "/images/" + name
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	_, err := output(exec.CommandContext(ctx, dir+"/wait"))
	return err
}

func (m *mount) close() {
	if m.mounted {
		_ = exec.Command(m.hull, "umount", "--stop", m.dir).Run() //nolint:noctx // it must happen
	}
}
