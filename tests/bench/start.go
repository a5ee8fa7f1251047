package main

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// byTree uses hull as a file system: mkdir, read, rmdir.
type byTree struct {
	s     *setting
	count int
}

func (*byTree) name() string { return "hull (mkdir … rmdir)" }

func (h *byTree) prepare(ctx context.Context, s *setting) error {
	h.s = s
	return s.pulled(ctx, s.registry.addr+"/true:1")
}

func (h *byTree) once(ctx context.Context) error {
	h.count++
	name := "t" + strconv.Itoa(h.count)
	if err := os.Mkdir(h.s.tree()+"/images/"+h.s.registry.addr+"/true:1/containers/"+name, 0o755); err != nil {
		return err
	}
	dir := h.s.tree() + "/containers/" + name
	for {
		b, err := os.ReadFile(dir + "/status")
		if err != nil {
			return err
		}
		if strings.TrimSpace(string(b)) == "exited" {
			return os.Remove(dir)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// byRun uses the helper on the mount.
type byRun struct{ s *setting }

func (*byRun) name() string { return "hull (run --rm)" }

func (h *byRun) prepare(ctx context.Context, s *setting) error {
	h.s = s
	return s.pulled(ctx, s.registry.addr+"/true:1")
}

func (h *byRun) once(ctx context.Context) error {
	_, err := output(exec.CommandContext(ctx, h.s.tree()+"/run", "--rm", h.s.registry.addr+"/true:1"))
	return err
}
