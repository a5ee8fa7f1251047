package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// byTree uses hull as a file system: mkdir, read, rmdir.
type byTree struct {
	s       *setting
	image   string
	count   int
	mounted bool
}

func (*byTree) name() string { return "hull (mkdir … rmdir)" }

func (h *byTree) prepare(ctx context.Context, s *setting) error {
	h.s, h.image = s, s.dir+"/hull/images/"+s.addr+"/true:1"
	if out, err := exec.CommandContext(ctx, s.hull, "mount", "--background", "--store", s.dir+"/store", "--run", s.dir+"/run", s.dir+"/hull").CombinedOutput(); err != nil {
		return fmt.Errorf("mount: %w: %s", err, out)
	}
	h.mounted = true
	if err := os.MkdirAll(h.image, 0o755); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, h.image+"/wait").CombinedOutput()
	if err != nil {
		return fmt.Errorf("pull: %w: %s", err, out)
	}
	return nil
}

func (h *byTree) once(ctx context.Context) error {
	h.count++
	name := "t" + strconv.Itoa(h.count)
	if err := os.Mkdir(h.image+"/containers/"+name, 0o755); err != nil {
		return err
	}
	dir := h.s.dir + "/hull/containers/" + name
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

func (h *byTree) close() {
	if h.mounted {
		_ = exec.Command(h.s.hull, "umount", "--stop", h.s.dir+"/hull").Run() //nolint:noctx // it must happen
	}
}

// byRun uses the helper on the mount that byTree made.
type byRun struct{ s *setting }

func (*byRun) name() string { return "hull (run --rm)" }

func (h *byRun) prepare(_ context.Context, s *setting) error {
	h.s = s
	_, err := os.Stat(s.dir + "/hull/run")
	return err
}

func (h *byRun) once(ctx context.Context) error {
	return exec.CommandContext(ctx, h.s.dir+"/hull/run", "--rm", h.s.addr+"/true:1").Run()
}

func (*byRun) close() {}
