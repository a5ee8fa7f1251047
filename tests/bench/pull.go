package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// load is an image that is pulled.
type load struct {
	image string
	slow  bool // over the slow link
	s     *setting
}

func (l *load) prepare(s *setting) error {
	l.s = s
	return s.makeImage(l.image)
}

// addr is the registry's.
func (l *load) addr() string {
	if l.slow {
		return l.s.slow.addr
	}
	return l.s.registry.addr
}

func (l *load) ref() string { return l.addr() + "/" + l.image }

// hullPull pulls by mkdir, and waits.
type hullPull struct {
	load
	daemon int
}

func (*hullPull) name() string { return "hull (mkdir, wait)" }

func (h *hullPull) prepare(ctx context.Context, s *setting) error {
	if err := h.load.prepare(s); err != nil {
		return err
	}
	if err := s.mount(ctx); err != nil {
		return err
	}
	var err error
	h.daemon, err = findDaemon(s.tree())
	return err
}

func (h *hullPull) dir() string { return h.s.tree() + "/images/" + h.ref() }

// reset removes the image, and waits until nothing of it is left on the disk.
func (h *hullPull) reset(ctx context.Context) error {
	if err := os.Remove(h.dir()); err != nil && !os.IsNotExist(err) {
		return err
	}
	store, m := h.s.dir+"/store", h.s.registry.find(h.image)
	for _, digest := range m.blobs {
		if err := absent(ctx, store+"/blobs/sha256/"+hexOf(digest)); err != nil {
			return err
		}
	}
	for _, diff := range m.diffs {
		if err := absent(ctx, store+"/layers/"+hexOf(diff)); err != nil {
			return err
		}
	}
	if err := absent(ctx, store+"/trash/*"); err != nil {
		return err
	}
	return forgetPeak(h.daemon)
}

// absent waits until no file has the name.
func absent(ctx context.Context, pattern string) error {
	for {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func hexOf(digest string) string { return strings.TrimPrefix(digest, "sha256:") }

func (h *hullPull) once(ctx context.Context) error { return h.s.pulled(ctx, h.ref()) }

func (h *hullPull) peak() int64 { return peakOf(h.daemon) }

func (h *hullPull) trees(context.Context) ([]string, error) {
	rootfs, err := filepath.EvalSymlinks(h.dir() + "/rootfs")
	return []string{rootfs}, err
}

func (h *hullPull) close() error {
	if h.daemon == 0 {
		return nil
	}
	return h.reset(context.Background())
}

// dockerPull is docker with a daemon of its own.
type dockerPull struct{ load }

func (*dockerPull) name() string { return "docker pull" }

func (d *dockerPull) prepare(ctx context.Context, s *setting) error {
	if err := d.load.prepare(s); err != nil {
		return err
	}
	return s.dockerd(ctx)
}

func (d *dockerPull) reset(ctx context.Context) error {
	if d.s.dockerCommand(ctx, "image", "inspect", d.ref()).Run() == nil {
		if _, err := output(d.s.dockerCommand(ctx, "rmi", d.ref())); err != nil {
			return err
		}
	}
	return forgetPeak(d.s.docker.Process.Pid)
}

func (d *dockerPull) once(ctx context.Context) error {
	_, err := output(d.s.dockerCommand(ctx, "pull", "-q", d.ref()))
	return err
}

func (d *dockerPull) peak() int64 { return peakOf(d.s.docker.Process.Pid) }

func (d *dockerPull) trees(ctx context.Context) ([]string, error) {
	out, err := output(d.s.dockerCommand(ctx, "image", "inspect", "-f",
		"{{.GraphDriver.Data.UpperDir}}:{{.GraphDriver.Data.LowerDir}}", d.ref()))
	dirs := strings.Split(strings.TrimSpace(out), ":")
	return slices.DeleteFunc(dirs, func(d string) bool { return !filepath.IsAbs(d) }), err // one layer has no lower
}

func (d *dockerPull) close() error {
	if d.s == nil || d.s.docker == nil {
		return nil
	}
	return d.reset(context.Background())
}

// podmanPull is podman with storage of its own.
type podmanPull struct {
	load
	processes
}

func (*podmanPull) name() string { return "podman pull" }

func (p *podmanPull) prepare(_ context.Context, s *setting) error {
	if _, err := exec.LookPath("podman"); err != nil {
		return err
	}
	return p.load.prepare(s)
}

func (p *podmanPull) reset(ctx context.Context) error {
	p.most = 0
	if p.s.podmanCommand(ctx, "image", "exists", p.ref()).Run() != nil {
		return nil
	}
	_, _ = output(p.s.podmanCommand(ctx, "image", "umount", p.ref())) // a test may have mounted it
	_, err := output(p.s.podmanCommand(ctx, "rmi", "-f", p.ref()))
	return err
}

func (p *podmanPull) once(ctx context.Context) error {
	return p.run(p.s.podmanCommand(ctx, "pull", "-q", "--tls-verify=false", p.ref()))
}

func (p *podmanPull) trees(ctx context.Context) ([]string, error) {
	out, err := output(p.s.podmanCommand(ctx, "image", "mount", p.ref()))
	return []string{strings.TrimSpace(out)}, err
}

func (p *podmanPull) close() error {
	if p.s == nil {
		return nil
	}
	return p.reset(context.Background())
}

// umociPull is skopeo, which makes an OCI layout, and then umoci, which unpacks it:
// raw, without the list of all files and digests that it makes otherwise.
type umociPull struct {
	load
	processes
}

func (*umociPull) name() string { return "skopeo copy + umoci unpack" }

func (u *umociPull) prepare(_ context.Context, s *setting) error {
	for _, p := range []string{"skopeo", "umoci"} {
		if _, err := exec.LookPath(p); err != nil {
			return err
		}
	}
	return u.load.prepare(s)
}

func (u *umociPull) dir() string { return u.s.dir + "/umoci" }

func (u *umociPull) reset(context.Context) error {
	u.most = 0
	if err := os.RemoveAll(u.dir()); err != nil {
		return err
	}
	return os.Mkdir(u.dir(), 0o755)
}

func (u *umociPull) once(ctx context.Context) error {
	if err := u.run(exec.CommandContext(ctx, "skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false",
		"docker://"+u.ref(), "oci:"+u.dir()+"/layout:latest")); err != nil {
		return err
	}
	return u.run(exec.CommandContext(ctx, "umoci", "raw", "unpack", "--image", u.dir()+"/layout:latest", u.dir()+"/rootfs"))
}

func (u *umociPull) trees(context.Context) ([]string, error) {
	return []string{u.dir() + "/rootfs"}, nil
}

func (u *umociPull) close() error {
	if u.s == nil {
		return nil
	}
	return os.RemoveAll(u.dir())
}

// curlPull is the floor.
type curlPull struct {
	load
	layers []string // URLs, lowest first
}

func (*curlPull) name() string { return "curl | tar xz" }

func (c *curlPull) prepare(_ context.Context, s *setting) error {
	for _, p := range []string{"curl", "tar", "gzip"} {
		if _, err := exec.LookPath(p); err != nil {
			return err
		}
	}
	if err := c.load.prepare(s); err != nil {
		return err
	}
	c.layers = nil
	repository, _, _ := strings.Cut(c.image, ":")
	for _, digest := range s.registry.find(c.image).blobs {
		c.layers = append(c.layers, "http://"+c.addr()+"/v2/"+repository+"/blobs/"+digest)
	}
	return nil
}

func (c *curlPull) dir() string { return c.s.dir + "/curl" }

func (c *curlPull) reset(context.Context) error {
	if err := os.RemoveAll(c.dir()); err != nil {
		return err
	}
	for i := range c.layers {
		if err := os.MkdirAll(c.dir()+"/"+strconv.Itoa(i), 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (c *curlPull) once(ctx context.Context) error {
	results := make(chan error)
	for i, url := range c.layers {
		go func() {
			sh := exec.CommandContext(ctx, "sh", "-c", `curl -sf "$0" | tar -xz -C "$1"`, url, c.dir()+"/"+strconv.Itoa(i))
			_, err := output(sh) // tar's, which knows a stream that is cut off
			results <- err
		}()
	}
	var first error
	for range c.layers {
		if err := <-results; err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (c *curlPull) trees(context.Context) ([]string, error) {
	var dirs []string
	for i := range c.layers {
		dirs = append([]string{c.dir() + "/" + strconv.Itoa(i)}, dirs...)
	}
	return dirs, nil
}

func (c *curlPull) close() error {
	if c.s == nil {
		return nil
	}
	return os.RemoveAll(c.dir())
}

// findDaemon finds the daemon of a mount.
func findDaemon(mount string) (int, error) {
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	for _, path := range lines {
		line, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		if args := strings.Split(string(line), "\x00"); len(args) > 2 && args[1] == "daemon" && strings.Contains(args[2], `"`+mount+`"`) {
			return strconv.Atoi(filepath.Base(filepath.Dir(path)))
		}
	}
	return 0, fmt.Errorf("no daemon of %s runs", mount)
}
