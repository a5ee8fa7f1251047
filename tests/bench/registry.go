package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// files is a registry that can only be read. It serves blobs as the files they
// are, by sendfile: go-containerregistry's own hashes a blob whenever it is asked
// for it, and Debian's copies it through a buffer, and either would take a share of
// the processors that grows with the speed of who pulls.
type files struct {
	dir    string // blobs, by digest
	addr   string
	server *http.Server
	done   chan struct{}

	mu        sync.Mutex
	manifests map[string]manifest // by "repository:tag" and "repository@digest"
}

type manifest struct {
	raw       []byte
	mediaType string
	digest    string
	blobs     []string // digests of its layers, lowest first
	diffs     []string // digests of what they unpack to
}

func newFiles(ctx context.Context, dir string) (*files, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &files{dir: dir, addr: listener.Addr().String(), manifests: map[string]manifest{}, done: make(chan struct{})}
	f.server = &http.Server{Handler: f, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	go func() {
		defer close(f.done)
		_ = f.server.Serve(listener) // it ends with close
	}()
	return f, nil
}

func (f *files) close() {
	_ = f.server.Close()
	<-f.done
}

// add offers an image as "repository:tag".
func (f *files) add(name string, img v1.Image) error {
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		if err := f.addLayer(l); err != nil {
			return err
		}
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return err
	}
	id, err := img.ConfigName()
	if err != nil {
		return err
	}
	if err := os.WriteFile(f.path(id.String()), config, 0o600); err != nil {
		return err
	}
	m := manifest{}
	for _, l := range layers {
		digest, err := l.Digest()
		if err != nil {
			return err
		}
		diff, err := l.DiffID()
		if err != nil {
			return err
		}
		m.blobs, m.diffs = append(m.blobs, digest.String()), append(m.diffs, diff.String())
	}
	if m.raw, err = img.RawManifest(); err != nil {
		return err
	}
	mt, err := img.MediaType()
	if err != nil {
		return err
	}
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	m.mediaType, m.digest = string(mt), digest.String()
	repository, _, _ := strings.Cut(name, ":")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.manifests[name], f.manifests[repository+"@"+m.digest] = m, m
	return nil
}

// addLayer copies a layer's blob, unless it was made here.
func (f *files) addLayer(l v1.Layer) error {
	digest, err := l.Digest()
	if err != nil {
		return err
	}
	path := f.path(digest.String())
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	r, err := l.Compressed()
	if err != nil {
		return err
	}
	defer r.Close()
	blob, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(blob, r)
	if e := blob.Close(); err == nil {
		err = e
	}
	return err
}

func (f *files) find(name string) manifest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.manifests[name]
}

func (f *files) path(digest string) string { return filepath.Join(f.dir, digest) }

func (f *files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	if repository, reference, ok := strings.Cut(path, "/manifests/"); ok {
		separator := ":"
		if strings.HasPrefix(reference, "sha256:") {
			separator = "@"
		}
		f.mu.Lock()
		m, ok := f.manifests[repository+separator+reference]
		f.mu.Unlock()
		if !ok {
			http.Error(w, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`, http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", m.mediaType)
		w.Header().Set("Docker-Content-Digest", m.digest)
		w.Header().Set("Content-Length", fmt.Sprint(len(m.raw)))
		if r.Method != http.MethodHead {
			_, _ = w.Write(m.raw) // who asked has gone
		}
		return
	}
	if _, digest, ok := strings.Cut(path, "/blobs/"); ok && !strings.Contains(digest, "/") {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Docker-Content-Digest", digest)
		http.ServeFile(w, r, f.path(digest))
		return
	}
	if path != "" {
		http.NotFound(w, r)
	}
}
