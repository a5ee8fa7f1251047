package main

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// byTree uses hull as a file system: mkdir, read, rmdir.
type byTree struct {
	cold  bool // of a mount that makes nothing beforehand
	s     *setting
	at    *mount
	image string
	count atomic.Int64
}

func (h *byTree) name() string {
	if h.cold {
		return "hull (mkdir … rmdir), cold"
	}
	return "hull (mkdir … rmdir)"
}

func (h *byTree) prepare(ctx context.Context, s *setting) error {
	h.s, h.at, h.image = s, &s.warm, s.registry.addr+"/true:1"
	if h.cold {
		h.at = &s.cold
	}
	return h.at.pulled(ctx, h.image)
}

func (h *byTree) once(ctx context.Context) error {
	name := "t" + strconv.FormatInt(h.count.Add(1), 10)
	if err := os.Mkdir(h.at.dir+"/images/"+h.image+"/containers/"+name, 0o755); err != nil {
		return err
	}
	dir := h.at.dir + "/containers/" + name
	began := time.Now()
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
		// Many who wait must not be what takes the time, nor a single one's sleep.
		time.Sleep(max(100*time.Microsecond, (time.Since(began)-20*time.Millisecond)/8))
	}
}

// byRun uses the helper on the mount.
type byRun struct {
	s       *setting
	network string // empty: the default one
}

func (h *byRun) name() string {
	if h.network != "" {
		return "hull (run --rm --network " + h.network + ")"
	}
	return "hull (run --rm)"
}

func (h *byRun) prepare(ctx context.Context, s *setting) error {
	h.s = s
	return s.pulled(ctx, s.registry.addr+"/true:1")
}

func (h *byRun) once(ctx context.Context) error {
	args := []string{"--rm"}
	if h.network != "" {
		args = append(args, "--network", h.network)
	}
	_, err := output(exec.CommandContext(ctx, h.s.tree()+"/run", append(args, h.s.registry.addr+"/true:1")...))
	return err
}
