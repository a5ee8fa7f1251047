package pack

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const capability = "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// upper makes an upper directory with a bit of everything.
func upper(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	must(t,
		os.Chmod(dir, 0o755),
		os.WriteFile(in("b"), []byte("content"), 0o600), os.Chown(in("b"), 1000, 1001), unix.Chmod(in("b"), 0o4755),
		unix.Setxattr(in("b"), "security.capability", []byte(capability), 0),
		unix.Setxattr(in("b"), "user.note", []byte("a\x00b"), 0),
		unix.Setxattr(in("b"), "user.a=b", []byte("no PAX record can say it"), 0),
		unix.Setxattr(in("b"), "user.overlay.opaque", []byte("y"), 0),
		unix.Setxattr(in("b"), "trusted.overlay.origin", []byte("x"), 0),
		unix.Setxattr(in("b"), "trusted.other", []byte("x"), 0),
		os.Mkdir(in("a"), 0o700), os.Link(in("b"), in("a/hard")), os.Symlink("../../etc/passwd", in("a/sym")),
		unix.Setxattr(in("a"), "trusted.overlay.impure", []byte("y"), 0),
		unix.Mknod(in("a/gone"), unix.S_IFCHR, 0),
		unix.Mknod(in("a/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))), os.Chmod(in("a/null"), 0o666),
		unix.Mknod(in("a/pipe"), unix.S_IFIFO|0o600, 0),
		os.MkdirAll(in("o/empty"), 0o755), unix.Setxattr(in("o"), "trusted.overlay.opaque", []byte("y"), 0),
		unix.Setxattr(in("o/empty"), "trusted.overlay.opaque", []byte("x"), 0),
		os.WriteFile(in("o/\xff\xfe"), nil, 0o644),
		os.Lchown(in("a/sym"), 5, 6), os.Chown(in("o"), 65534, 3_000_000_000),
	)
	socket, err := net.Listen("unix", in("s"))
	must(t, err)
	t.Cleanup(func() { socket.Close() })
	settle(t, dir)
	return dir
}

func TestLayer(t *testing.T) {
	needRoot(t)
	stream, r := packed(t, Layer, upper(t), Options{})
	at := " 1600000000.123"
	compare(t, lines(t, stream), []string{
		"5 ./ 0755 0:0" + at,
		"5 a/ 0700 0:0" + at,
		"0 a/.wh.gone 0600 0:0",
		"0 a/hard 4755 1000:1001" + at + ` "content" SCHILY.xattr.security.capability="` +
			strings.NewReplacer("\x01", `\x01`, "\x02", `\x02`, "\x04", `\x04`, "\x00", `\x00`).Replace(capability) +
			`" SCHILY.xattr.user.note="a\x00b"`,
		"3 a/null 0666 0:0" + at + " 1,3",
		"6 a/pipe 0600 0:0" + at,
		"2 a/sym 0777 5:6" + at + " -> ../../etc/passwd",
		"1 b 4755 1000:1001" + at + " -> a/hard",
		"5 o/ 0755 65534:3000000000" + at,
		"0 o/.wh..wh..opq 0600 0:0",
		"5 o/empty/ 0755 0:0" + at,
		"0 o/\xff\xfe 0644 0:0" + at,
	})
	if r.Entries != 12 || r.Bytes != int64(len("content")) {
		t.Errorf("%+v", r)
	}
	again, _ := packed(t, Layer, upper(t), Options{})
	if !bytes.Equal(stream, again) {
		t.Error("a second directory of the same content is packed to other bytes")
	}
}

// TestTree: a whole tree has no root, no whiteouts, and may have any name; owners
// are counted from the container's first id.
func TestTree(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	v3 := append([]byte("\x01\x00\x00\x03"), capability[4:]...)
	must(t,
		os.WriteFile(in(".wh.mine"), nil, 0o644), os.Chown(in(".wh.mine"), 100_000, 100_007),
		os.WriteFile(in("capable"), nil, 0o755), os.Chown(in("capable"), 165_535, 165_536),
		unix.Setxattr(in("capable"), "security.capability", append(v3, 0xa0, 0x86, 1, 0), 0),
		os.WriteFile(in("other"), nil, 0o755),
		unix.Setxattr(in("other"), "security.capability", append(v3, 0xa1, 0x86, 1, 0), 0),
		unix.Mknod(in("white"), unix.S_IFCHR, 0),
	)
	settle(t, dir)
	stream, _ := packed(t, Tree, dir, Options{Base: 100_000})
	quoted := strings.NewReplacer("\x04", `\x04`, "\x00", `\x00`).Replace(capability[4:])
	at := " 1600000000.123"
	compare(t, lines(t, stream), []string{
		"0 .wh.mine 0644 0:7" + at,
		"0 capable 0755 65535:65534" + at + ` SCHILY.xattr.security.capability="\x01\x00\x00\x02` + quoted + `"`,
		"0 other 0755 65534:65534" + at + ` SCHILY.xattr.security.capability="\x01\x00\x00\x03` + quoted + `\xa1\x86\x01\x00"`,
	})
}

// TestRefused: what cannot be said in a layer, or is too much.
func TestRefused(t *testing.T) {
	needRoot(t)
	for _, c := range []struct {
		name string
		make func(dir string) error
		o    Options
		want Kind
	}{
		{"whiteout's name", func(d string) error { return os.WriteFile(d+"/.wh.x", nil, 0o600) }, Options{}, Unsupported},
		{"opaque's name", func(d string) error { return os.Mkdir(d+"/.wh..wh..opq", 0o700) }, Options{}, Unsupported},
		{"redirect", func(d string) error {
			return errors.Join(os.Mkdir(d+"/d", 0o700), unix.Setxattr(d+"/d", "trusted.overlay.redirect", []byte("/x"), 0))
		}, Options{}, Unsupported},
		{"metacopy", func(d string) error {
			return errors.Join(os.WriteFile(d+"/f", nil, 0o600), unix.Setxattr(d+"/f", "trusted.overlay.metacopy", nil, 0))
		}, Options{}, Unsupported},
		{"depth", func(d string) error { return os.MkdirAll(d+"/"+strings.Repeat("d/", 20), 0o700) }, Options{Limits: Limits{Depth: 10}}, TooLarge},
		{"path", func(d string) error { return deep(d, strings.Repeat("n", 250), 17) }, Options{}, TooLarge},
		{"entries", func(d string) error {
			return errors.Join(os.WriteFile(d+"/a", nil, 0o600), os.WriteFile(d+"/b", nil, 0o600))
		}, Options{Limits: Limits{Entries: 2}}, TooLarge},
		{"bytes", func(d string) error { return os.WriteFile(d+"/a", make([]byte, 5000), 0o600) }, Options{Limits: Limits{Bytes: 4999}}, TooLarge},
		{"a hole of 8 EiB", func(d string) error { return hole(d+"/a", 1<<43) }, Options{}, TooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, c.make(dir))
			_, err := Layer(t.Context(), io.Discard, root(t, dir), c.o)
			if kindOf(t, err) != c.want {
				t.Errorf("got %v, want kind %v", err, c.want)
			}
			if c.want == Unsupported && strings.HasSuffix(c.name, "name") {
				packed(t, Tree, dir, Options{})
			}
		})
	}
}

// deep nests directories deeper than a path can be.
func deep(dir, name string, depth int) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	for i := 0; i < depth && err == nil; i++ {
		var next int
		if err = unix.Mkdirat(fd, name, 0o700); err == nil {
			next, err = unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
			_ = unix.Close(fd)
			fd = next
		}
	}
	_ = unix.Close(fd)
	return err
}

func hole(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}

// TestHoles: what is packed of a file does not depend on how it lies on disk.
func TestHoles(t *testing.T) {
	const size = 3<<20 + 77
	want := make([]byte, size)
	copy(want[1<<20:], strings.Repeat("data", 5000))
	copy(want[2<<20+4096:], "more")
	for name, write := range map[string]func(f *os.File) error{
		"dense": func(f *os.File) error { _, err := f.Write(want); return err },
		"holes": func(f *os.File) error {
			_, a := f.WriteAt(want[1<<20:1<<20+20000], 1<<20)
			_, b := f.WriteAt([]byte("more"), 2<<20+4096)
			return errors.Join(a, b, f.Truncate(size))
		},
		"hole first and last": func(f *os.File) error { return f.Truncate(size) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			f, err := os.Create(dir + "/f")
			must(t, err, write(f), f.Close())
			stream, _ := packed(t, Tree, dir, Options{})
			content, err := os.ReadFile(dir + "/f")
			must(t, err)
			if !bytes.Contains(stream, content) || len(content) != size {
				t.Error("the content is not in the stream")
			}
		})
	}
}

// failing is a writer that fails after n bytes.
type failing struct {
	n   int
	err error
}

func (f *failing) Write(b []byte) (int, error) {
	if f.n -= len(b); f.n < 0 {
		return 0, f.err
	}
	return len(b), nil
}

func TestWriterFails(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/f", make([]byte, 4<<20), 0o600))
	for err, want := range map[error]Kind{unix.EPIPE: Write, unix.ENOSPC: Space, context.Canceled: Cancelled} {
		_, got := Tree(t.Context(), &failing{1 << 20, err}, root(t, dir), Options{})
		if kindOf(t, got) != want || !errors.Is(got, err) {
			t.Errorf("%v: got %v", err, got)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Tree(ctx, io.Discard, root(t, dir), Options{}); kindOf(t, err) != Cancelled {
		t.Errorf("got %v", err)
	}
}
