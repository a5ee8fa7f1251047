package tests

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hull/layers"
	"hull/tests/image"
)

// TestSameTree pulls images in which unpackers have gone wrong with hull, Docker,
// containerd and umoci: the merged trees are the same, entry by entry.
func TestSameTree(t *testing.T) {
	needs(t)
	docker(t)
	at := dockerRegistry(t)
	set, err := image.Nasty(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]any{}
	for name, img := range set {
		all["nasty/"+name+":1"] = img
	}
	if err := image.Push(at, all); err != nil {
		t.Fatal(err)
	}
	store := openStore(t)
	for _, name := range slices.Sorted(maps.Keys(set)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ref := fmt.Sprintf("%s/nasty/%s:1", at, name)
			ours := treeOf(t, pulled(t, store, ref))
			undated(t, ours)
			if name == "gnu-sparse" { // but for whose format it is
				sameTree(t, ours, treeOf(t, tarUnpacked(t, set[name])))
			}
			for _, peer := range []struct {
				name string
				tree func(testing.TB, string) string
			}{{"docker", dockerTree}, {"containerd", containerdTree}, {"umoci", umociTree}} {
				if why := refuses[peer.name][name]; why == "" {
					t.Run(peer.name, func(t *testing.T) {
						t.Parallel()
						sameTree(t, ours, treeOf(t, peer.tree(t, ref)), exceptions[peer.name][name]...)
					})
				}
			}
		})
	}
}

// refuses is what peers do not unpack at all, and why.
var refuses = map[string]map[string]string{
	"docker": {
		"below":      "it unpacks each layer by itself, and finds no file of another there",
		"disordered": "it makes a whiteout's device over what the layer has, and fails",
		"twice":      "it takes names for unique",
		"gnu-sparse": "it does not know the type of such entries",
		"tall":       "it takes no more than 125 layers",
	},
	"containerd": {
		"below":      "as docker",
		"disordered": "as docker",
		"gnu-sparse": "as docker",
		"tall-125":   "the taller one does",
		"wide":       "nothing: it takes long, and docker unpacks it with the same code",
	},
	"umoci": {
		"gnu-sparse": "as docker",
		"tall-125":   "the taller one does",
	},
}

// exceptions are where peers are known to do otherwise, and why hull does not follow.
var exceptions = map[string]map[string][]exception{
	"docker": {
		"attributes": {
			{why: "a directory without an entry in a layer is made anew there, though the layers below say what it is", paths: "dir-4755 xattr-dir .", forget: looks},
			{why: "it takes times before 1970 for 1970, as hull does, but not those of links", paths: "time-link-before-1970 time-link-half-before-1970", forget: times},
		},
		"replaced": {{why: "as above", paths: "merge", forget: looks}},
	},
	"containerd": {
		"attributes": {{why: "the root is the highest layer's, also if that layer has no entry for it", paths: ".", forget: looks}},
	},
	"umoci": {
		"attributes": {{why: "it sets times before 1970, which Docker and hull take for 1970", paths: `time-before-1970 time-half-before-1970
			time-dir-before-1970 time-dir-half-before-1970 time-link-before-1970 time-link-half-before-1970`, forget: times}},
		"below": {{
			why:   "it unpacks all layers into one tree; with overlay other names of a file below stay with the one below, as when a container writes to it",
			paths: "a/two b c d capable2 hard-sym pipe2", forget: func(f *fields) { f.linked = "" },
		}},
	},
}

func looks(f *fields) { f.mode, f.owner, f.xattrs = "", "", "" }
func times(f *fields) { f.mtime = "" }

// openStore is a store of hull's, as its daemon has it.
func openStore(t testing.TB) *layers.Store {
	t.Helper()
	s, err := layers.Open(t.Context(), t.TempDir(), layers.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// pulled pulls an image, and is where its merged tree can be read.
func pulled(t testing.TB, s *layers.Store, ref string) string {
	t.Helper()
	if err := s.Pull(t.Context(), ref, layers.PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	return viewed(t, s, ref)
}

// viewed is where an image's merged tree can be read.
func viewed(t testing.TB, s *layers.Store, ref string) string {
	t.Helper()
	im, ok := s.Find(ref)
	if !ok {
		t.Fatalf("%s is not in the store", ref)
	}
	v, err := s.View(t.Context(), im.ID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Release)
	return fmt.Sprintf("/proc/self/fd/%d/", v.Dir.Fd())
}

// dockerTree is where what Docker has unpacked of an image is merged.
func dockerTree(t testing.TB, ref string) string {
	t.Helper()
	docker(t)("pull", "-q", ref)
	return overlay(t, dockerLayers(t, ref))
}

// umociTree is where umoci has unpacked an image.
func umociTree(t testing.TB, ref string) string {
	t.Helper()
	dir := peerDir(t)
	output(t, exec.Command(tool(t, "skopeo"), "copy", "--insecure-policy", "-q", "--src-tls-verify=false", "docker://"+ref, "oci:"+dir+"/layout:1"))
	output(t, exec.Command(tool(t, "umoci"), "raw", "unpack", "--image", dir+"/layout:1", dir+"/rootfs"))
	return dir + "/rootfs"
}

// tarUnpacked is where the system's tar has unpacked an image without whiteouts.
func tarUnpacked(t testing.TB, img v1.Image) string {
	t.Helper()
	dir := peerDir(t)
	layers, err := img.Layers()
	if err = errors.Join(err, os.Chmod(dir, 0o755)); err != nil { // as a root without an entry
		t.Fatal(err)
	}
	for _, l := range layers {
		text, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("tar", "-xpf", "-", "--numeric-owner", "-C", dir)
		cmd.Stdin = text
		output(t, cmd)
		if err := text.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// containerdTree is where containerd, the one that belongs to dockerd, has mounted
// an image.
func containerdTree(t testing.TB, ref string) string {
	t.Helper()
	docker(t)
	ctr := func(args ...string) *exec.Cmd {
		return exec.Command(tool(t, "ctr"), append([]string{"--address", dockerd.dir + "/exec/containerd/containerd.sock", "--namespace", "hull"}, args...)...)
	}
	output(t, ctr("images", "pull", "--plain-http", ref))
	dir := filepath.Join(peerDir(t), "mounted")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	output(t, ctr("images", "mount", ref, dir))
	t.Cleanup(func() { output(t, ctr("images", "unmount", dir)) })
	return dir
}
