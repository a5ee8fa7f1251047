package tests

import (
	"archive/tar"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"hull/tests/image"
)

// TestBrowseHostile walks through the file system of an image whose every name
// and link is meant to lead its visitor astray, with the programs that people
// use. What the links name on the host is watched: nobody may come by.
func TestBrowseHostile(t *testing.T) {
	needs(t)
	tool(t, "plocate") // with its updatedb
	canary := newCanary(t)
	img, err := hostileTree(canary.dir)
	if err != nil {
		t.Fatal(err)
	}
	crowd, err := crowdedTree()
	if err != nil {
		t.Fatal(err)
	}
	if err := image.Push(addr, map[string]any{"astray:1": img, "crowd:1": crowd}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { canary.check(t) }) // the scripts run at the same time, when this function has ended
	scripts(t, addr, locked, all(t, "testdata/browse/*.txtar"))
}

// canary is a directory of the host that nobody may look into.
type canary struct {
	dir   string
	watch *os.File
}

// newCanary makes it, with a secret, a program that leaves a trace and a FIFO
// that holds up whoever opens it.
func newCanary(t *testing.T) *canary {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "hull-canary-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	picture, err := drawn()
	err = errors.Join(
		err,
		os.WriteFile(filepath.Join(dir, "picture.png"), picture, 0o644),
		os.Mkdir(filepath.Join(dir, "below"), 0o755),
		os.WriteFile(filepath.Join(dir, "secret"), []byte("CANARY-SECRET\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "below/secret"), []byte("CANARY-SECRET\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "program"), []byte("#!/bin/sh\n: > "+dir+"/started\n"), 0o755),
		unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644),
	)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	c := &canary{dir: dir, watch: os.NewFile(uintptr(fd), "watch")}
	t.Cleanup(func() { _ = c.watch.Close() })
	for _, d := range []string{dir, filepath.Join(dir, "below")} {
		if _, err := unix.InotifyAddWatch(fd, d, unix.IN_ALL_EVENTS); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// check fails if anybody has opened, listed or started anything of it.
func (c *canary) check(t *testing.T) {
	t.Helper()
	b := make([]byte, 1<<16)
	n, err := unix.Read(int(c.watch.Fd()), b)
	if !errors.Is(err, unix.EAGAIN) {
		t.Errorf("somebody was led to the host's %s: %d bytes of events, %v", c.dir, n, err)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "started")); err == nil {
		t.Error("a program of the host was started")
	}
	// It would have been seen.
	_, err1 := os.ReadFile(filepath.Join(c.dir, "secret"))
	n, err2 := unix.Read(int(c.watch.Fd()), b)
	if err := errors.Join(err1, err2); err != nil || n == 0 {
		t.Errorf("the watch of %s sees nothing: %v", c.dir, err)
	}
}

// hostileTree makes an image of three layers. outside is the host's directory
// that its links name.
func hostileTree(outside string) (v1.Image, error) {
	link := func(name, target string) image.File {
		return image.File{Name: name, Link: target, Type: tar.TypeSymlink, Mode: 0o777}
	}
	file := func(name, body string, mode int64) image.File {
		return image.File{Name: name, Body: []byte(body), Mode: mode}
	}
	files := []image.File{
		{Name: "etc/", Mode: 0o755},
		file("etc/passwd", "IMAGE-PASSWD\n", 0o644),
		file("outside", outside+"\n", 0o644), // tells the script
		{Name: "links/", Mode: 0o755},
		{Name: "links/deep/", Mode: 0o755},
		{Name: "links/deep/er/", Mode: 0o755},
		// All of these lead to the image's own file.
		link("links/passwd-absolute", "/etc/passwd"),
		link("links/passwd-climbing", strings.Repeat("../", 40)+"etc/passwd"),
		link("links/deep/er/passwd-climbing", "../../../../../../etc/passwd"),
		link("links/passwd-through", "deep/er/passwd-climbing"),
		link("links/passwd-dots", "/etc/../../../etc/./passwd"),
		link("links/deep/top", "/"),
		link("links/passwd-again", "deep/top/links/deep/top/etc/passwd"),
		link("links/passwd-back", "deep/top/../../../../etc/passwd"),
	}
	for i, to := range []string{
		outside, outside + "/", outside + "/secret", outside + "/below", outside + "/program", outside + "/fifo",
		"../../../../../../../../../../../.." + outside + "/secret", "/../../.." + outside,
		"deep/top/../../../../../../../.." + outside + "/secret",
		"/proc/self/root" + outside, "/proc/1/root" + outside + "/secret", "/proc/self/cwd", "/proc/self/fd/0", "/dev/fd/0", "/dev/stdin",
		"/dev/kmsg", "/dev/tty", "//" + outside, "./..//../../../../../../../../.." + outside + "/below", "links/../../../../../../.." + outside,
		strings.Repeat("../", 300) + strings.TrimPrefix(outside, "/"),
	} {
		files = append(files, link(fmt.Sprintf("links/out-%02d", i), to), link(fmt.Sprintf("links/deep/er/out-%02d", i), to))
	}
	files = append(files,
		// Links that lead nowhere, and round and round.
		link("links/self", "self"), link("links/a", "b"), link("links/b", "a"),
		link("links/deep/up", ".."), link("links/deep/er/up", "../.."), link("links/chain-0", "/etc"),
		link("links/long", strings.Repeat("x/../", 700)+"etc"),
	)
	for i := range 60 { // more links in a row than the kernel follows
		files = append(files, link(fmt.Sprintf("links/chain-%d", i+1), fmt.Sprintf("chain-%d", i)))
	}
	files = append(files, image.File{Name: "names/", Mode: 0o755})
	for _, n := range []string{
		"-rf", "--help", "--checkpoint-action=exec=sh", "-exec", "*", "?", "~", "$(touch pwned)", "`touch pwned`", ";touch pwned", "|sh",
		"a\nb", "a\tb", " ", "  x", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\r", "\x7f", "\\", "'", "\"", "..x", "...", "a:b",
		"\xff\xfe", "\xc3\x28", "e\u0301", "\u202egnp.exe", "\u200b", strings.Repeat("n", 255), strings.Repeat("\u00e4", 127),
	} {
		files = append(files, file("names/"+n, "named\n", 0o644))
	}
	files = append(files,
		image.File{Name: "odd/", Mode: 0o755},
		file("odd/setuid", "#!/bin/sh\n: > "+outside+"/started\n", 0o6755),
		file("odd/unreadable", "closed\n", 0),
		image.File{Name: "odd/closed/", Mode: 0}, file("odd/closed/inside", "closed\n", 0),
		image.File{Name: "odd/fifo", Type: tar.TypeFifo, Mode: 0o666},
		image.File{Name: "odd/autorun.sh", Body: []byte("#!/bin/sh\n: > " + outside + "/started\n"), Mode: 0o777},
		file("odd/first", "one of many names\n", 0o644),
		image.File{Name: "odd/strange-owner", Body: []byte("x\n"), UID: 4294967294, GID: 70000, Mode: 0o600},
	)
	for i := range 500 {
		files = append(files, image.File{Name: fmt.Sprintf("odd/name-%03d", i), Link: "odd/first", Type: tar.TypeLink, Mode: 0o644})
	}
	pictures, err := picturesLeading(outside)
	if err != nil {
		return nil, err
	}
	files = append(files, pictures...)
	deep := "pit/"
	files = append(files, image.File{Name: deep, Mode: 0o755})
	for range 20 { // with the mount's own, longer than the kernel takes for a path
		deep += strings.Repeat("d", 200) + "/"
		files = append(files, image.File{Name: deep, Mode: 0o755})
	}
	files = append(files, file(deep+"bottom", "the bottom\n", 0o644), link(deep+"out", outside+"/secret"), link(deep+"climb", strings.Repeat("../", 200)+"etc/passwd"))
	first, err := layerOf(files)
	if err != nil {
		return nil, err
	}
	devices, err := deviceLayer()
	if err != nil {
		return nil, err
	}
	// A layer that exchanges a directory for a link that leads out, and a link for a directory.
	second, err := layerOf([]image.File{
		{Name: "turned/", Mode: 0o755}, file("turned/secret", "IMAGE-SECRET\n", 0o644), link("turning", outside),
	})
	if err != nil {
		return nil, err
	}
	third, err := layerOf([]image.File{
		link("turned", outside), {Name: "turning/", Mode: 0o755}, file("turning/secret", "IMAGE-SECRET\n", 0o644),
	})
	if err != nil {
		return nil, err
	}
	return image.Build(v1.Config{Cmd: []string{"true"}}, first, devices, second, third)
}

func layerOf(files []image.File) (v1.Layer, error) {
	b, err := image.Tar(files)
	if err != nil {
		return nil, err
	}
	return image.Gzip(b)
}

// deviceLayer holds the host's memory, terminal and log as devices.
func deviceLayer() (v1.Layer, error) {
	var b strings.Builder
	w := tar.NewWriter(&b)
	for _, d := range []tar.Header{
		{Name: "dev/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "dev/mem", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 1},
		{Name: "dev/zero", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 5}, // never ends
		{Name: "dev/kmsg", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 11},
		{Name: "dev/tty", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 5, Devminor: 0},
		{Name: "dev/loop0", Typeflag: tar.TypeBlock, Mode: 0o666, Devmajor: 7, Devminor: 0},
		{Name: "dev/vda", Typeflag: tar.TypeBlock, Mode: 0o666, Devmajor: 254, Devminor: 0},
	} {
		d.ModTime, d.Format = image.Made, tar.FormatPAX
		if err := w.WriteHeader(&d); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return image.Gzip([]byte(b.String()))
}

// crowd is how many files lie in one directory of the image crowd:1.
const crowd = 100_000

// crowdedTree has but a few files, under many names: so it is made, pulled and removed in no time. A file system may
// take no more than 65,000 names of one.
func crowdedTree() (v1.Image, error) {
	files := []image.File{{Name: "crowd/", Mode: 0o755}}
	first := ""
	for i := range crowd {
		f := image.File{Name: fmt.Sprintf("crowd/file-%06d", i), Link: first, Type: tar.TypeLink, Mode: 0o644}
		if i%25_000 == 0 {
			first, f.Link, f.Type = f.Name, "", tar.TypeReg
		}
		files = append(files, f)
	}
	l, err := layerOf(files)
	if err != nil {
		return nil, err
	}
	return image.Build(v1.Config{Cmd: []string{"true"}}, l)
}

// TestManyImages looks into many images at once. Each is mounted for as long as
// somebody has a file of it open, and let go soon after.
func TestManyImages(t *testing.T) {
	needs(t)
	const many = 200
	shared, err := layerOf([]image.File{{Name: "etc/", Mode: 0o755}, {Name: "etc/shared", Body: []byte("all have it\n"), Mode: 0o644}})
	if err != nil {
		t.Fatal(err)
	}
	set := map[string]any{}
	for i := range many {
		own, err := layerOf([]image.File{{Name: "etc/name", Body: fmt.Appendf(nil, "image %d\n", i), Mode: 0o644}})
		if err != nil {
			t.Fatal(err)
		}
		if set[fmt.Sprintf("many/%d:1", i)], err = image.Build(v1.Config{Cmd: []string{"true"}}, shared, own); err != nil {
			t.Fatal(err)
		}
	}
	if err := image.Push(addr, set); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HULL_VIEW_IDLE", "100ms")
	m := ground(t, "many")
	m.mount(t)
	m.must(t, `mkdir -p images/$REG/many; for i in $(seq 0 199); do mkdir images/$REG/many/$i:1 || exit 1; done`)
	m.must(t, `for i in $(seq 0 199); do images/$REG/many/$i:1/wait || exit 1; done`)

	// One after the other, and all at once by several.
	m.must(t, `cd images/$REG/many; for i in $(seq 0 199); do test "$(cat $i:1/rootfs/etc/name $i:1/rootfs/etc/shared | tr '\n' .)" = "image $i.all have it." || exit 1; done`)
	m.must(t, `cd images/$REG/many; walk() { test "$(grep -rh image */rootfs/etc | sort -u | wc -l)" = 200; }; walk & a=$!; walk & b=$!; walk && wait $a && wait $b`)
	daemon := m.role("daemon")
	if len(daemon) != 1 {
		t.Fatalf("daemons: %v", daemon)
	}
	eventually(t, "nothing is kept that nobody looks at", func() bool { return views(daemon[0]) == 0 })

	files := make([]*os.File, many)
	for i := range files {
		if files[i], err = os.Open(fmt.Sprintf("%s/images/%s/many/%d:1/rootfs/etc/name", m.path("hull"), addr, i)); err != nil {
			t.Fatal(err)
		}
		defer files[i].Close()
	}
	if n := views(daemon[0]); n < many {
		t.Errorf("%d views while a file of each of %d images is open", n, many)
	}
	for i, f := range files {
		b := make([]byte, 100)
		n, err := f.Read(b)
		if want := fmt.Sprintf("image %d\n", i); err != nil || string(b[:n]) != want {
			t.Errorf("%q, %v, want %q", b[:n], err, want)
		}
		_ = f.Close()
	}
	eventually(t, "nothing is kept when the files are closed", func() bool { return views(daemon[0]) == 0 })
	// And again, with what the kernel remembers of them.
	m.must(t, `cd images/$REG/many; for i in 0 77 199; do test "$(cat $i:1/rootfs/etc/name)" = "image $i" || exit 1; done; rmdir *:1`)
	eventually(t, "nothing is kept of removed images", func() bool { return views(daemon[0]) == 0 })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// views counts the descriptors of a process that are directories of overlays.
func views(pid int) int {
	n := 0
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return -1
	}
	for _, fd := range fds {
		var st unix.Statfs_t
		if unix.Statfs(fd, &st) == nil && st.Type == unix.OVERLAYFS_SUPER_MAGIC {
			n++
		}
	}
	return n
}
