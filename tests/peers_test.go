package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hull/tests/image"
)

// TestPeers runs the scripts that exchange images with Docker, Podman, skopeo and
// umoci: by Debian's registry, and as archives.
//
// In their environment: docker and podman as commands, with directories of the
// tests; REGLOG, the registry's log of requests.
func TestPeers(t *testing.T) {
	needs(t)
	bin := peers(t)
	at, requests := dockerRegistryLog(t)
	set, err := image.Set()
	if err != nil {
		t.Fatal(err)
	}
	if err := image.Push(at, set); err != nil {
		t.Fatal(err)
	}
	scripts(t, at, "", all(t, "testdata/peers/*.txtar"), "REGLOG="+requests,
		"PATH="+strings.Join([]string{bin, filepath.Dir(hull), "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"}, ":"))
}

// peers is a directory with the peers as programs that touch nothing of the machine's
// own.
func peers(t testing.TB) string {
	t.Helper()
	client, podman, skopeo := dockerClient(t), tool(t, "podman"), tool(t, "skopeo")
	tool(t, "umoci")
	dir := peerDir(t)
	if err := os.WriteFile(dir+"/policy.json", []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	bin := dir + "/bin"
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, script := range map[string]string{
		"docker": fmt.Sprintf("DOCKER_HOST=unix://%s DOCKER_CONFIG=%s exec %s \"$@\"", dockerd.socket, dir, client),
		"podman": fmt.Sprintf("export TMPDIR=%[1]s; exec %[2]s --root %[1]s/root --runroot %[1]s/run --tmpdir %[1]s/tmp --storage-driver vfs --cgroup-manager cgroupfs --events-backend none \"$@\"", dir, podman),
		"skopeo": fmt.Sprintf("exec %s --policy %s/policy.json --tmpdir %s \"$@\"", skopeo, dir, dir),
	} {
		if err := os.WriteFile(bin+"/"+name, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}
