package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"hull/tests/image"
)

// imageName is what the image is called everywhere.
const imageName = "bench.local/true:1"

// setting is what all contestants share: one image, as a registry, as an
// archive and as a bare root file system.
type setting struct {
	dir, hull, addr string
	server          *httptest.Server
	img             v1.Image
}

func newSetting(hull string) (*setting, error) {
	dir, err := os.MkdirTemp("", "hull-bench-")
	if err != nil {
		return nil, err
	}
	set, err := image.Set()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s := &setting{dir: dir, hull: hull, img: set["true:1"].(v1.Image)}
	s.server = httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	s.addr = strings.TrimPrefix(s.server.URL, "http://")
	if err := image.Push(s.addr, map[string]any{"true:1": s.img}); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *setting) close() {
	s.server.Close()
	_ = os.RemoveAll(s.dir)
}

// archive writes the image as docker save does.
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

// rootfs unpacks the image's file system.
func (s *setting) rootfs(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	r := mutate.Extract(s.img)
	defer r.Close()
	tar := exec.Command("tar", "-x", "-C", dir) //nolint:noctx // short
	tar.Stdin = r
	if out, err := tar.CombinedOutput(); err != nil {
		return fmt.Errorf("tar: %w: %s", err, out)
	}
	return nil
}
