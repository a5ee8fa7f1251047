package pack

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"hull/layers/union"
	"hull/layers/unpack"
)

// unpacked unpacks a layer to a directory.
func unpacked(t testing.TB, stream []byte, below ...*os.File) *os.File {
	t.Helper()
	f := root(t, t.TempDir())
	_, err := unpack.Layer(t.Context(), bytes.NewReader(stream), f, unpack.Options{Lower: below})
	must(t, err)
	return f
}

// merged mounts layers, and returns the path of the union.
func merged(t testing.TB, o union.Options) string {
	t.Helper()
	m, err := union.Mount(o)
	must(t, err)
	t.Cleanup(func() { m.Close() })
	return "/proc/self/fd/" + strconv.Itoa(int(m.Fd()))
}

// TestCommit changes an image in a container's way, packs the upper directory, and
// looks whether image and new layer are what the container had.
func TestCommit(t *testing.T) {
	needRoot(t)
	base := t.TempDir()
	long := strings.Repeat("n", 255) // whose whiteout has a longer name than any file
	must(t,
		os.MkdirAll(base+"/etc/dir/sub", 0o755), os.WriteFile(base+"/etc/passwd", []byte("root"), 0o644),
		os.WriteFile(base+"/etc/gone", nil, 0o644), os.WriteFile(base+"/etc/dir/sub/f", nil, 0o644),
		os.WriteFile(base+"/first", []byte("1"), 0o644), os.Link(base+"/first", base+"/second"),
		os.MkdirAll(base+"/opaque/old", 0o755), os.Symlink("etc", base+"/link"), os.Mkdir(base+"/was-dir", 0o755),
		os.WriteFile(base+"/"+long, nil, 0o644), os.WriteFile(base+"/was-file", nil, 0o644), os.Mkdir(base+"/moved", 0o755), os.WriteFile(base+"/moved/f", []byte("m"), 0o644),
	)
	lower, _ := packed(t, Layer, base, Options{})
	below := unpacked(t, lower)
	upperDir := t.TempDir()
	view := merged(t, union.Options{Lowers: []*os.File{below}, Upper: root(t, upperDir)})
	in := func(name string) string { return filepath.Join(view, name) }
	must(t,
		os.Remove(in("etc/gone")), os.Remove(in(long)), os.RemoveAll(in("etc/dir/sub")), os.WriteFile(in("etc/passwd"), []byte("root2"), 0o644),
		os.WriteFile(in("first"), []byte("changed"), 0o644), os.RemoveAll(in("opaque")), os.Mkdir(in("opaque"), 0o700),
		os.WriteFile(in("opaque/new"), nil, 0o600), os.Remove(in("was-dir")), os.WriteFile(in("was-dir"), nil, 0o600),
		os.Remove(in("was-file")), os.MkdirAll(in("was-file/x"), 0o700), os.Chmod(view, 0o711),
		os.WriteFile(in("linked"), []byte("l"), 0o600), os.Link(in("linked"), in("linked too")),
		unix.Setxattr(in("linked"), "user.x", []byte("y"), 0), unix.Setxattr(in("linked"), "security.capability", []byte(capability), 0),
	)
	if err := os.Rename(in("moved"), in("elsewhere")); !errors.Is(err, unix.EXDEV) {
		t.Errorf("renaming a directory of the image: %v; a layer could not say it", err)
	}
	stream, _ := packed(t, Layer, upperDir+"/upper", Options{})
	added := unpacked(t, stream, below)
	again := merged(t, union.Options{Lowers: []*os.File{added, below}})
	want, _ := packed(t, Tree, view, Options{})
	got, _ := packed(t, Tree, again, Options{})
	compare(t, lines(t, got), lines(t, want))
}

// users is a user namespace with a range of 65536 ids.
func users(t testing.TB, first int) *os.File {
	t.Helper()
	c := exec.Command("cat") // lives until its input is closed
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: first, Size: 65536}}
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids}
	in, err := c.StdinPipe()
	must(t, err, c.Start())
	f, err := os.Open("/proc/" + strconv.Itoa(c.Process.Pid) + "/ns/user")
	must(t, err, in.Close(), c.Wait())
	t.Cleanup(func() { f.Close() })
	return f
}

// TestExport: a container's tree, seen through its id-mapped mount, is packed with
// the container's own ids, the same as the tree on disk.
func TestExport(t *testing.T) {
	needRoot(t)
	const first = 1_879_048_192
	dir := upper(t)
	must(t, os.Remove(dir+"/a/gone"), unix.Removexattr(dir+"/o", "trusted.overlay.opaque"), os.Chown(dir+"/o", 65535, 65535))
	settle(t, dir)
	want, _ := packed(t, Tree, dir, Options{})
	for name, upper := range map[string]*os.File{"read only": nil, "a container's": root(t, t.TempDir())} {
		view := merged(t, union.Options{Lowers: []*os.File{root(t, dir)}, Upper: upper, Users: users(t, first), Base: first})
		got, _ := packed(t, Tree, view, Options{Base: first})
		if !bytes.Equal(got, want) {
			t.Errorf("%s:", name)
			compare(t, lines(t, got), lines(t, want))
		}
	}
}

// TestGNUTar: the system's tar reads what is packed as we mean it.
func TestGNUTar(t *testing.T) {
	needRoot(t)
	tar, err := exec.LookPath("tar")
	if err != nil {
		t.Skip("there is no tar program")
	}
	dir := upper(t)
	must(t, os.Remove(dir+"/a/gone"), hole(dir+"/sparse", 1<<20), os.WriteFile(dir+"/"+strings.Repeat("long", 60), nil, 0o600))
	settle(t, dir)
	stream, _ := packed(t, Tree, dir, Options{})
	to := t.TempDir()
	cmd := exec.Command(tar, "-xp", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", to)
	cmd.Stdin = bytes.NewReader(stream)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	again, _ := packed(t, Tree, to, Options{})
	compare(t, lines(t, again), lines(t, stream))
}

// TestBlob: the compressed layer inflates to the layer, and is the same each time.
func TestBlob(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/f", bytes.Repeat([]byte("content "), 100_000), 0o600))
	var blobs [2]bytes.Buffer
	var digests [2]string
	for i := range blobs {
		b := NewBlob(&blobs[i])
		_, err := Tree(t.Context(), b, root(t, dir), Options{})
		must(t, err, b.Close())
		digests[i] = b.Digest()
		if b.Size() != int64(blobs[i].Len()) {
			t.Errorf("size %d, want %d", b.Size(), blobs[i].Len())
		}
	}
	if digests[0] != digests[1] || !bytes.Equal(blobs[0].Bytes(), blobs[1].Bytes()) {
		t.Error("two blobs of one tree differ")
	}
	plain, err := unpack.Decompress(&blobs[0], unpack.Decoder{})
	must(t, err)
	defer plain.Close()
	got, err := io.ReadAll(plain)
	must(t, err)
	if want, _ := packed(t, Tree, dir, Options{}); !bytes.Equal(got, want) {
		t.Error("the blob inflates to something else")
	}
}
