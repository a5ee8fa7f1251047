package union

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hull/layers/unpack"
)

// image is what the oracle unpacks too: "path/" a directory, "path=content" a
// file, "path>target" a symbolic link, "path<target" a hard link. Owner, mode and
// time differ from entry to entry.
var image = [][]string{
	{
		"./", "etc/", "etc/passwd=root", "etc/alt/", "etc/alt/a=1", "usr/", "usr/lib/", "usr/lib/libc.so=elf", "lib>usr/lib",
		"var/", "var/cache/", "var/cache/x=x", "var/cache/y=y", "var/log/", "var/log/l=log", "opt/", "opt/a/", "opt/a/b/", "opt/a/b/c=c",
		"bin/", "bin/one=program", "bin/two<bin/one", "bin/sym>one", "bin/hsym<bin/sym", "bin/sole=sole", "file=is a file", "dir/", "dir/f=in a directory",
		"same=1", "odd\xff\xfename=bytes", strings.Repeat("long/", 60) + "name=deep",
	},
	{
		"etc/", "etc/.wh.passwd=", "etc/passwd=again", "etc/alt/", "etc/alt/.wh..wh..opq=", "etc/alt/b=2", "var/", "var/cache/.wh.x=",
		"var/.wh.log=", "opt/a/b/d=d", "file/", "file/inside=now a directory", "dir=now a file", "same=2", "bin/three<bin/sole",
		"usr/lib/libm.so=elf too",
	},
	{
		"var/log/", "var/log/new=new", ".wh.file=", "file/", "file/other=", "opt/.wh..wh..opq=", "opt/z/", "opt/z/y=zy", "./usr/lib/.wh.libc.so=",
		"bin/four<usr/lib/libm.so", "bin/two=apart", "same>dir",
	},
}

// archive writes one of them.
func archive(t *testing.T, number int, entries []string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i, e := range entries {
		h := tar.Header{
			Name: e, Mode: int64([]int{0o755, 0o700, 0o644, 0o4711}[i%4]), Uid: 100*number + i, Gid: 7 * i,
			ModTime: time.Unix(int64(1_500_000_000+1000*number+i), int64(i)*1000), Format: tar.FormatPAX, Typeflag: tar.TypeDir,
		}
		body := ""
		if at := strings.IndexAny(e, "=<>"); at > 0 {
			h.Name, body = e[:at], e[at+1:]
			switch e[at] {
			case '=':
				h.Typeflag, h.Size = tar.TypeReg, int64(len(body))
				h.PAXRecords = map[string]string{"SCHILY.xattr.user.number": fmt.Sprint(i)}
			case '<':
				h.Typeflag, h.Linkname, body = tar.TypeLink, body, ""
			case '>':
				h.Typeflag, h.Linkname, body = tar.TypeSymlink, body, ""
			}
		}
		if strings.Contains(h.Name, ".wh.") {
			h.PAXRecords = nil
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestOracle unpacks an image of three tricky layers with umoci, and with unpack
// and union: the two trees must be the same.
func TestOracle(t *testing.T) {
	needRoot(t)
	umoci, err := exec.LookPath("umoci")
	if err != nil {
		t.Skip("umoci is not installed: nothing to compare with")
	}
	var layers [][]byte
	var lowers []*os.File
	for i, entries := range image {
		l := archive(t, i, entries)
		layers = append(layers, l)
		dir := layer(t)
		if _, err := unpack.Layer(context.Background(), bytes.NewReader(l), dir, unpack.Options{Lower: lowers}); err != nil {
			t.Fatalf("layer %d: %v", i, err)
		}
		lowers = append([]*os.File{dir}, lowers...)
	}
	out := filepath.Join(t.TempDir(), "bundle")
	cmd := exec.Command(umoci, "unpack", "--image", layout(t, layers)+":test", out)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("umoci: %v\n%s", err, text)
	}
	got := listing(t, at(mounted(t, Options{Lowers: lowers}), ""))
	want := listing(t, filepath.Join(out, "rootfs"))
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("ours:\n%s\n\numoci's:\n%s\n\nonly ours: %q\nonly umoci's: %q", g, w, less(got, want), less(want, got))
	}
}

func less(a, b []string) []string {
	in := map[string]bool{}
	for _, s := range b {
		in[s] = true
	}
	var only []string
	for _, s := range a {
		if !in[s] {
			only = append(only, s)
		}
	}
	return only
}

// layout makes an OCI image layout of uncompressed layers.
func layout(t *testing.T, layers [][]byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "blobs/sha256"), 0o755); err != nil {
		t.Fatal(err)
	}
	blob := func(kind string, content []byte) map[string]any {
		hex := fmt.Sprintf("%x", sha256.Sum256(content))
		if err := os.WriteFile(filepath.Join(dir, "blobs/sha256", hex), content, 0o644); err != nil {
			t.Fatal(err)
		}
		return map[string]any{"mediaType": kind, "digest": "sha256:" + hex, "size": len(content)}
	}
	document := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var descriptors []map[string]any
	var diffs []any
	for _, l := range layers {
		d := blob("application/vnd.oci.image.layer.v1.tar", l)
		descriptors = append(descriptors, d)
		diffs = append(diffs, d["digest"])
	}
	config := blob("application/vnd.oci.image.config.v1+json", document(map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{}, "rootfs": map[string]any{"type": "layers", "diff_ids": diffs},
	}))
	const manifestType = "application/vnd.oci.image.manifest.v1+json"
	manifest := blob(manifestType, document(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType, "config": config, "layers": descriptors,
	}))
	manifest["annotations"] = map[string]string{"org.opencontainers.image.ref.name": "test"}
	for name, v := range map[string]any{
		"oci-layout": map[string]string{"imageLayoutVersion": "1.0.0"},
		"index.json": map[string]any{"schemaVersion": 2, "manifests": []any{manifest}},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), document(v), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// listing describes every file: type, mode, owner, time, attributes, what it is
// linked with, content. A directory that no layer has an entry for has no time
// that anyone could agree on: it is left out where it is not of the layers'.
func listing(t *testing.T, root string) []string {
	t.Helper()
	var lines []string
	first := map[uint64]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		st := stat(t, path)
		line := fmt.Sprintf("%s %o %d:%d", rel, st.Mode, st.Uid, st.Gid)
		// umoci gives the root the time of its own work.
		if rel != "." && st.Mtim.Sec >= 1_500_000_000 && st.Mtim.Sec < 1_500_010_000 {
			line += fmt.Sprintf(" %d.%09d", st.Mtim.Sec, st.Mtim.Nsec)
		}
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += " -> " + target
		case d.Type().IsRegular():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			var value [16]byte
			n, _ := unix.Lgetxattr(path, "user.number", value[:])
			line += fmt.Sprintf(" %q %q", b, value[:max(n, 0)])
		}
		if one := first[st.Ino]; one != "" && !d.IsDir() { // st_nlink counts names that an upper layer replaced
			line += " = " + one
		}
		first[st.Ino] = rel
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(lines)
	return lines
}
