package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
)

// testRoots pretends to be a store of images.
type testRoots struct {
	mu      sync.Mutex
	images  map[string]*Image
	pulling map[string]chan error // closed or sent to when the pull ends
	failed  map[string]error
	holds   map[string]bool // image+container
	slow    chan struct{}   // if not nil, an image's own file system is mounted when it is closed
	dir     string
}

func (r *testRoots) Parse(name string) (string, error) {
	if name == "BAD" {
		return "", errors.New("BAD is no image's name")
	}
	return name, nil
}

func (r *testRoots) Platform(word string) error {
	if word == "bad" {
		return errors.New("bad is no platform")
	}
	return nil
}

// Image has images for a platform by name@platform.
func (r *testRoots) Image(_ context.Context, name, platform string) (*Image, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pulling[name] != nil {
		return nil, ErrPulling
	}
	if platform != "" {
		name += "@" + platform
	}
	if m := r.images[name]; m != nil {
		return m, nil
	}
	return nil, fail("image", "", NotFound, "there is no image %s", name)
}

func (r *testRoots) Wait(ctx context.Context, name string) error {
	r.mu.Lock()
	end, failed := r.pulling[name], r.failed[name]
	r.mu.Unlock()
	if end == nil {
		return failed
	}
	select {
	case err := <-end:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// slowDown makes images' own file systems take until speedUp to be mounted.
func (r *testRoots) slowDown() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slow = make(chan struct{})
}

func (r *testRoots) speedUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.slow)
	r.slow = nil
}

// pulled ends a pull.
func (r *testRoots) pulled(name string, err error) {
	r.mu.Lock()
	end := r.pulling[name]
	delete(r.pulling, name)
	r.failed[name] = err
	if err == nil {
		r.images[name] = &Image{ID: "sha256:" + name, Reference: name, Cmd: []string{"sleep"}}
	}
	r.mu.Unlock()
	end <- err // its capacity is one
}

func (r *testRoots) Hold(image, container string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.holds[image+" "+container] = true
	return nil
}

func (r *testRoots) Release(image, container string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.holds, image+" "+container)
}

func (r *testRoots) held() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.holds)
}

func (r *testRoots) Mount(ctx context.Context, _ string, upper, _ *os.File, _ uint32, _ bool) (*os.File, error) {
	r.mu.Lock()
	slow := r.slow
	r.mu.Unlock()
	if slow != nil && upper == nil {
		select {
		case <-slow:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if upper != nil {
		for _, name := range []string{"upper", "work"} {
			if err := os.MkdirAll(filepath.Join(upper.Name(), name), 0o700); err != nil {
				return nil, err
			}
		}
	}
	return os.Open(r.dir)
}

func newTestRoots(dir string) *testRoots {
	return &testRoots{
		dir: dir, pulling: map[string]chan error{}, holds: map[string]bool{}, failed: map[string]error{},
		images: map[string]*Image{"box": {ID: "sha256:box", Reference: "box", Cmd: []string{"sleep"}, Env: []string{"A=image"}}},
	}
}
