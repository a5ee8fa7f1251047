package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The contestants of log: a container writes many lines, and they are kept.

// logging makes the row.
func logging() row {
	return row{
		name: "log", title: "lines of a container that writes as fast as it can, until they are all kept and its exit is known", rounds: 5, settle: 2 * time.Second, // for what was removed
		field: []contestant{&hullLog{opt: "max-size=-1", what: "all kept"}, &hullLog{opt: "max-file=5", what: "within bounds"}, &catLog{}, &podmanLog{}, &dockerLog{}},
	}
}

// lines is the command that writes them.
func lines(bytes int64) string {
	return fmt.Sprintf("yes 'a line of output, of some length' | head -c %d", bytes)
}

// hullLog is a container of hull.
type hullLog struct {
	opt, what string
	s         *setting
	count     int
}

func (h *hullLog) name() string { return "hull (" + h.what + ")" }

func (h *hullLog) prepare(ctx context.Context, s *setting) error {
	h.s = s
	return s.pulled(ctx, s.registry.addr+"/true:1")
}

func (h *hullLog) container() string {
	return "log" + strconv.Itoa(h.count) + "-" + strings.ReplaceAll(h.what, " ", "-")
}

func (h *hullLog) once(ctx context.Context) error {
	h.count++
	run := exec.CommandContext(ctx, h.s.tree()+"/run", "-d", "--name", h.container(), "--log-opt", h.opt,
		h.s.registry.addr+"/true:1", "sh", "-c", lines(h.s.size.log))
	if _, err := output(run); err != nil {
		return err
	}
	dir := h.s.tree() + "/containers/" + h.container()
	if _, err := output(exec.CommandContext(ctx, dir+"/wait")); err != nil {
		return err
	}
	info, err := os.Stat(dir + "/logs")
	if err == nil && h.opt == "max-size=-1" && info.Size() != h.s.size.log {
		err = fmt.Errorf("the log has %d bytes, not %d", info.Size(), h.s.size.log)
	}
	return err
}

// reset removes the last round's.
func (h *hullLog) reset(context.Context) error {
	if h.count == 0 {
		return nil
	}
	return os.WriteFile(h.s.tree()+"/containers/"+h.container()+"/ctl", []byte("remove force\n"), 0)
}

func (h *hullLog) close() error { return h.reset(context.Background()) }

// catLog is no container: cat moves what comes by a pipe into a file.
type catLog struct{ s *setting }

func (*catLog) name() string { return "cat, from a pipe to a file" }

func (c *catLog) prepare(_ context.Context, s *setting) error {
	c.s = s
	return nil
}

func (c *catLog) file() string { return filepath.Join(c.s.dir, "cat.log") }

func (c *catLog) once(ctx context.Context) error {
	_, err := output(exec.CommandContext(ctx, "sh", "-c", lines(c.s.size.log)+" | cat > "+c.file()))
	return err
}

func (c *catLog) reset(context.Context) error {
	if err := os.Remove(c.file()); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// dockerLog and podmanLog are theirs, as they are without options.
type dockerLog struct {
	dockerRun
	made bool
}

func (*dockerLog) name() string { return "docker (json-file)" }

func (d *dockerLog) once(ctx context.Context) error {
	_, err := output(d.s.dockerCommand(ctx, "run", "--detach", "--name", "log", "--network", "none", imageName, "sh", "-c", lines(d.s.size.log)))
	if err != nil {
		return err
	}
	d.made = true
	_, err = output(d.s.dockerCommand(ctx, "wait", "log"))
	return err
}

func (d *dockerLog) reset(ctx context.Context) error {
	if !d.made {
		return nil
	}
	d.made = false
	_, err := output(d.s.dockerCommand(ctx, "rm", "--force", "log"))
	return err
}

func (d *dockerLog) close() error { return d.reset(context.Background()) }

type podmanLog struct {
	podmanRun
	made bool
}

func (*podmanLog) name() string { return "podman (k8s-file)" }

func (p *podmanLog) once(ctx context.Context) error {
	_, err := output(p.s.podmanCommand(ctx, "run", "--detach", "--name", "log", "--log-driver", "k8s-file",
		"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", imageName, "sh", "-c", lines(p.s.size.log)))
	if err != nil {
		return err
	}
	p.made = true
	_, err = output(p.s.podmanCommand(ctx, "wait", "log"))
	return err
}

func (p *podmanLog) reset(ctx context.Context) error {
	if !p.made {
		return nil
	}
	p.made = false
	_, err := output(p.s.podmanCommand(ctx, "rm", "--force", "log"))
	return err
}

func (p *podmanLog) close() error { return p.reset(context.Background()) }
