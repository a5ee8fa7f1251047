package tests

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hull/tests/image"
)

// TestDebian pulls and runs a real distribution from the real registry server:
// Debian made by debootstrap, and on it a layer with whiteouts, an opaque
// directory, hard links into the layer below, set-user-ID and capabilities.
func TestDebian(t *testing.T) {
	needs(t)
	for _, p := range []string{"debootstrap", "umoci", "skopeo", "tar"} {
		tool(t, p)
	}
	at := dockerRegistry(t)
	img, err := debian(t)
	if err != nil {
		t.Fatal(err)
	}
	if err := image.Push(at, map[string]any{"debian:12": img}); err != nil {
		t.Fatal(err)
	}
	scripts(t, at, locked, all(t, "testdata/debian/*.txtar"))
}

func debian(t *testing.T) (v1.Image, error) {
	root := filepath.Join(t.TempDir(), "debian")
	out, err := exec.Command(tool(t, "debootstrap"), "--variant=minbase", "bookworm", root).CombinedOutput()
	if err != nil {
		t.Fatalf("debootstrap: %v\n%s", err, out[max(0, len(out)-4000):])
	}
	if err := os.RemoveAll(filepath.Join(root, "var/cache/apt/archives")); err != nil {
		return nil, err
	}
	pack := exec.Command("tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--exclude=./dev/*", "-C", root, "-cf", "-", ".")
	var base bytes.Buffer
	pack.Stdout = &base
	if err := pack.Run(); err != nil {
		t.Fatalf("tar: %v", err)
	}
	lower, err := image.Gzip(base.Bytes())
	if err != nil {
		return nil, err
	}
	top, err := image.Tar([]image.File{
		{Name: "etc/.wh.issue", Mode: 0o644},
		{Name: "usr/share/doc/", Mode: 0o755},
		{Name: "usr/share/doc/.wh..wh..opq", Mode: 0o644},
		{Name: "usr/share/doc/only", Mode: 0o644, Body: []byte("only this\n")},
		{Name: "etc/hostname.hard", Type: tar.TypeLink, Link: "etc/debian_version"},
		{Name: "usr/local/bin/suid", Mode: 0o4755, Body: []byte("#!/bin/sh\nid -u\n")},
		{Name: "usr/local/bin/capable", Mode: 0o755, Body: []byte("#!/bin/sh\n"), Xattrs: map[string]string{
			"security.capability": "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		}},
	})
	if err != nil {
		return nil, err
	}
	upper, err := image.Gzip(top)
	if err != nil {
		return nil, err
	}
	return image.Build(v1.Config{Cmd: []string{"bash"}, Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}}, lower, upper)
}
