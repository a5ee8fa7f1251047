package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sys/unix"

	"hull/tests/image"
)

// imageName is what the image of `true` is called where it is loaded.
const imageName = "bench.local/true:1"

// setting is what all contestants share: a registry, the image of `true` as an
// archive and as a bare root file system, a mount of hull, a daemon of docker.
type setting struct {
	dir, hull string
	registry  *files
	slow      *link // to the registry
	size      size
	made      map[string]bool
	img       v1.Image
	warm      mount // hull as it is
	cold      mount // with no processes made beforehand
	running   int   // containers that run in the warm one
	still     mount // hull with containers that have ended
	stopped   int   // how many
	docker    *exec.Cmd
	space     *space
}

func newSetting(ctx context.Context, hull string, size size) (*setting, error) {
	dir, err := os.MkdirTemp("", "hull-bench-")
	if err != nil {
		return nil, err
	}
	s := &setting{dir: dir, hull: hull, size: size, made: map[string]bool{}}
	s.warm = mount{hull: hull, dir: dir + "/hull", store: dir + "/store", run: dir + "/run"}
	s.cold = mount{hull: hull, dir: dir + "/hull-cold", store: dir + "/store-cold", run: dir + "/run-cold", flags: []string{"--warm", "0"}}
	s.still = mount{hull: hull, dir: dir + "/hull-still", store: dir + "/store-still", run: dir + "/run-still"}
	if err := s.serve(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *setting) serve(ctx context.Context) (err error) {
	if s.registry, err = newFiles(ctx, s.dir+"/registry"); err != nil {
		return err
	}
	if s.slow, err = newLink(ctx, s.registry.addr); err != nil {
		return err
	}
	set, err := image.Set()
	if err != nil {
		return err
	}
	s.img = set["true:1"].(v1.Image)
	return errors.Join(s.registry.add("true:1", s.img), s.registry.add("sleeper:1", set["sleeper:1"].(v1.Image)))
}

// close ends what was started, and removes all.
func (s *setting) close() error {
	s.warm.close()
	s.cold.close()
	s.still.close()
	if s.docker != nil {
		s.endDocker()
	}
	if s.slow != nil {
		s.slow.close()
	}
	if s.registry != nil {
		s.registry.close()
	}
	// A podman that conmon runs when a container has ended may be ended without having let go of its storage.
	for unix.Unmount(s.dir+"/podman/overlay", unix.MNT_DETACH) == nil {
	}
	return os.RemoveAll(s.dir)
}

// tree is where hull is mounted.
func (s *setting) tree() string { return s.warm.dir }

// mount mounts hull, once.
func (s *setting) mount(ctx context.Context) error { return s.warm.mount(ctx) }

// pulled makes sure that hull has an image.
func (s *setting) pulled(ctx context.Context, name string) error { return s.warm.pulled(ctx, name) }

// oldCgroups is where crun finds cgroups that it can use.
func (s *setting) oldCgroups(ctx context.Context) (_ *space, err error) {
	if s.space == nil {
		s.space, err = newSpace(ctx)
	}
	return s.space, err
}

// dockerd starts docker's daemon, once.
func (s *setting) dockerd(ctx context.Context) error {
	if s.docker != nil {
		return nil
	}
	for _, p := range []string{"dockerd", "docker"} {
		if _, err := exec.LookPath(p); err != nil {
			return err
		}
	}
	log, err := os.Create(s.dir + "/dockerd.log")
	if err != nil {
		return err
	}
	defer log.Close()
	daemon := exec.CommandContext(ctx, "dockerd", "-H", s.dockerHost(), "--data-root", s.dir+"/docker",
		"--exec-root", s.dir+"/docker-exec", "--pidfile", s.dir+"/docker.pid")
	daemon.Stdout, daemon.Stderr = log, log
	if err := daemon.Start(); err != nil {
		return err
	}
	s.docker = daemon
	deadline := time.Now().Add(time.Minute)
	for s.dockerCommand(ctx, "info").Run() != nil {
		if time.Now().After(deadline) || ctx.Err() != nil {
			text, _ := os.ReadFile(s.dir + "/dockerd.log") // as far as there is one
			return fmt.Errorf("dockerd does not answer: %s", tail(text))
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil
}

func (s *setting) endDocker() {
	_ = s.docker.Process.Signal(os.Interrupt) // it may have ended
	_ = s.docker.Wait()
	s.docker = nil
}

func (s *setting) dockerHost() string { return "unix://" + s.dir + "/docker.sock" }

func (s *setting) dockerCommand(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "docker", append([]string{"-H", s.dockerHost()}, args...)...)
}

// podmanCommand is podman with storage of its own.
func (s *setting) podmanCommand(ctx context.Context, args ...string) *exec.Cmd {
	own := []string{"--root", s.dir + "/podman", "--runroot", s.dir + "/podman-run", "--runtime", "runc"}
	return exec.CommandContext(ctx, "podman", append(own, args...)...)
}

// output runs a command. Its error has what the command said.
func output(c *exec.Cmd) (string, error) {
	out, err := c.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(c.Path), err, tail(out))
	}
	return string(out), nil
}

// tail is the end of what a program said.
func tail(text []byte) string {
	t := strings.TrimSpace(string(text))
	return t[max(0, len(t)-1000):]
}

// archive writes the image of `true` as docker save does.
func (s *setting) archive() (string, error) {
	path := filepath.Join(s.dir, "image.tar")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	tag, err := name.NewTag(imageName)
	if err != nil {
		return "", err
	}
	return path, tarball.WriteToFile(path, tag, s.img)
}

// rootfs unpacks the file system of the image of `true`.
func (s *setting) rootfs(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	r := mutate.Extract(s.img)
	defer r.Close()
	tar := exec.Command("tar", "-x", "-C", dir) //nolint:noctx // short
	tar.Stdin = r
	_, err := output(tar)
	return err
}
