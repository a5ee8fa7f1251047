package tests

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hull/tests/image"
	"hull/tests/netns"
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
	base, img, debs, err := debian(t)
	if err != nil {
		t.Fatal(err)
	}
	if err := image.Push(at, map[string]any{"debian-base:12": base, "debian:12": img}); err != nil {
		t.Fatal(err)
	}
	t.Run("packages", func(t *testing.T) { debianPackages(t, at, debs) })
	scripts(t, at, locked, all(t, "testdata/debian/*.txtar"))
}

// more are packages beside Debian's base: with file capabilities, set-user-ID,
// alternatives and hard links.
const more = "iputils-ping,libcap2-bin,less,sudo,gzip,netcat-traditional,perl-base,passwd"

// packages builds on Debian as people do, with Docker: packages reinstalled, removed
// and installed again, a layer each. Docker, umoci and hull have to make the same of
// it.
const packages = `
RUN dpkg --install /debs/*.deb
RUN dpkg --purge less netcat-traditional && dpkg --purge iputils-ping && rm -r /usr/share/doc /usr/share/locale && mkdir /usr/share/doc
RUN dpkg --install /debs/iputils-ping_*.deb /debs/less_*.deb && getcap -r /usr /bin 2>/dev/null | grep ping
RUN useradd -m -u 70000 someone && chmod -R g+s /var/mail /srv && rm -r /debs && mv /usr/share/perl5 /usr/share/perl && ln -s perl /usr/share/perl5
`

func debianPackages(t *testing.T, at, debs string) {
	docker := docker(t)
	file := filepath.Join(debs, "Dockerfile")
	if err := os.WriteFile(file, []byte("FROM "+at+"/debian-base:12\nCOPY *.deb /debs/"+packages), 0o600); err != nil {
		t.Fatal(err)
	}
	ref := at + "/debian-packages:12"
	docker("build", "-q", "--network=none", "-t", ref, debs)
	docker("push", "-q", ref)
	docker("image", "rm", ref) // to be unpacked again
	begun = time.Now()
	docker("pull", "-q", ref)
	ours := treeOf(t, pulled(t, openStore(t), ref))
	if f := ours["usr/bin/ping"]; !strings.HasPrefix(f.xattrs, "security.capability:") {
		t.Errorf("ping has no capability: %s", f)
	}
	t.Run("docker", func(t *testing.T) { sameTree(t, ours, treeOf(t, overlay(t, dockerLayers(t, ref)))) })
	t.Run("umoci", func(t *testing.T) { sameTree(t, ours, treeOf(t, umociTree(t, ref))) })
}

// debian makes Debian as an image of one layer, and img with a second one. debs is a
// directory with the packages of more.
func debian(t *testing.T) (base, img v1.Image, debs string, err error) {
	root := filepath.Join(t.TempDir(), "debian")
	out, err := netns.Outside(exec.Command(tool(t, "debootstrap"), "--variant=minbase", "--include="+more, "bookworm", root))
	if err != nil {
		t.Fatalf("debootstrap: %v\n%s", err, out[max(0, len(out)-4000):])
	}
	debs = t.TempDir()
	archives := filepath.Join(root, "var/cache/apt/archives")
	for name := range strings.SplitSeq(more, ",") {
		found, err := filepath.Glob(filepath.Join(archives, name+"_*.deb"))
		if err != nil || len(found) != 1 {
			return nil, nil, "", fmt.Errorf("package %s: %q, %w", name, found, err)
		}
		if err := os.Rename(found[0], filepath.Join(debs, filepath.Base(found[0]))); err != nil {
			return nil, nil, "", err
		}
	}
	if err := os.RemoveAll(archives); err != nil {
		return nil, nil, "", err
	}
	base, img, err = debianOf(t, root)
	return base, img, debs, err
}

func debianOf(t *testing.T, root string) (base, img v1.Image, err error) {
	pack := exec.Command("tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--exclude=./dev/*", "-C", root, "-cf", "-", ".")
	var packed bytes.Buffer
	pack.Stdout = &packed
	if err := pack.Run(); err != nil {
		t.Fatalf("tar: %v", err)
	}
	lower, err := image.Gzip(packed.Bytes())
	if err != nil {
		return nil, nil, err
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
		return nil, nil, err
	}
	upper, err := image.Gzip(top)
	if err != nil {
		return nil, nil, err
	}
	config := v1.Config{Cmd: []string{"bash"}, Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}}
	if base, err = image.Build(config, lower); err != nil {
		return nil, nil, err
	}
	img, err = image.Build(config, lower, upper)
	return base, img, err
}
