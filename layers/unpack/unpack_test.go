package unpack

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const stamp = "1600000000.123"

// TestTree unpacks small layers and looks at all that came of them.
func TestTree(t *testing.T) {
	needRoot(t)
	capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	opaque := ` trusted.overlay.opaque="y"`
	origin := ` trusted.overlay.origin=""`
	for _, c := range []struct {
		name    string
		entries []entry
		want    []string
	}{
		{"nothing", nil, nil},
		{"kinds", []entry{
			folder("d", mode(0o2751), owner(3, 4)), file("d/f", "hello", mode(0o4755), owner(1000, 1001)),
			link("d/l", "../../etc/passwd", owner(5, 6)), hard("d/h", "d/f"), char("d/c", numbers(1, 3), mode(0o666)), fifo("d/p"),
		}, []string{
			"d d 2751 3:4 " + stamp, `f d/f 4755 1000:1001 ` + stamp + ` "hello"`, "l d/l 0777 5:6 " + stamp + " -> ../../etc/passwd",
			"f d/h 4755 1000:1001 " + stamp + " = d/f", "c 1:3 d/c 0666 0:0 " + stamp, "p d/p 0600 0:0 " + stamp,
		}},
		{"attributes", []entry{
			file("ping", "x", xattrOf("security.capability", capability), owner(7, 7), mode(0o755)),
			folder("d", xattrOf("user.note", "a\x00b")), file("other", "", xattrOf("security.selinux", "x"), xattrOf("trusted.other", "x"), xattrOf("system.posix_acl_access", "x")),
		}, []string{
			"f ping 0755 7:7 " + stamp + ` "x" security.capability="\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"`,
			"d d 0755 0:0 " + stamp + ` user.note="a\x00b"`, "f other 0644 0:0 " + stamp + ` ""`,
		}},
		{"whiteouts in any order", []entry{
			folder("d"), file("d/.wh.gone", ""), file("d/.wh.first", ""), file("d/first", "1"), file("d/last", "2"), file("d/.wh.last", ""),
			file("d/.wh.dir1", ""), folder("d/dir1"), folder("d/dir2"), file("d/dir2/x", ""), file("d/.wh.dir2", ""),
			file("o/.wh..wh..opq", ""), folder("o"), file("o/x", "x"), folder("o2"), file("o2/x", ""), file("o2/.wh..wh..opq", ""),
		}, []string{
			"d d 0755 0:0 " + stamp + origin, "gone d/gone", `f d/first 0644 0:0 ` + stamp + ` "1"`, `f d/last 0644 0:0 ` + stamp + ` "2"`,
			"d d/dir1 0755 0:0 " + stamp + opaque, "d d/dir2 0755 0:0 " + stamp + opaque, "f d/dir2/x 0644 0:0 " + stamp + ` ""`,
			"d o 0755 0:0 " + stamp + opaque, "f o/x 0644 0:0 " + stamp + ` "x"`, "d o2 0755 0:0 " + stamp + opaque, "f o2/x 0644 0:0 " + stamp + ` ""`,
		}},
		{"a new directory in place of a removed one", []entry{
			file(".wh.a", ""), file("a/b/f", ""), file("c/f", ""), file(".wh.c", ""),
		}, []string{
			"d a 0755 0:0 0.000" + opaque, "d a/b 0755 0:0 0.000", "f a/b/f 0644 0:0 " + stamp + ` ""`,
			"d c 0755 0:0 0.000" + opaque, "f c/f 0644 0:0 " + stamp + ` ""`,
		}},
		{"replacement", []entry{
			file("a", "file"), folder("a"), file("a/x", "x"), folder("b"), folder("b/deep"), file("b/deep/y", "y"), file("b", "file"),
			link("c", "a"), file("c", "not through the link"), file("d", "1"), file("d", "2"), link("e", "x"), link("e", "y"),
			folder("f", mode(0o700), xattrOf("user.a", "1")), folder("f", mode(0o711), xattrOf("user.b", "2")),
		}, []string{
			"d a 0755 0:0 " + stamp + opaque, `f a/x 0644 0:0 ` + stamp + ` "x"`, `f b 0644 0:0 ` + stamp + ` "file"`,
			`f c 0644 0:0 ` + stamp + ` "not through the link"`, `f d 0644 0:0 ` + stamp + ` "2"`, "l e 0777 0:0 " + stamp + " -> y",
			"d f 0711 0:0 " + stamp + ` user.b="2"`,
		}},
		{"links inside the layer", []entry{
			folder("usr"), folder("usr/lib"), link("lib", "usr/lib"), file("lib/a", "a"), link("abs", "/usr/./lib/../lib"), file("abs/b", "b"),
			link("out", "../../../usr"), file("out/lib/c", "c"), link("dangling", "made/up"), file("dangling/d", "d"),
			hard("here", "/lib/a"), hard("link2", "./lib"),
		}, []string{
			"d usr 0755 0:0 " + stamp, "d usr/lib 0755 0:0 " + stamp, "l lib 0777 0:0 " + stamp + " -> usr/lib", "l abs 0777 0:0 " + stamp + " -> /usr/./lib/../lib",
			"f usr/lib/a 0644 0:0 " + stamp + " = here", "f usr/lib/b 0644 0:0 " + stamp + ` "b"`, "f usr/lib/c 0644 0:0 " + stamp + ` "c"`,
			"l out 0777 0:0 " + stamp + " -> ../../../usr", "l dangling 0777 0:0 " + stamp + " -> made/up", "d made 0755 0:0 0.000", "d made/up 0755 0:0 0.000",
			"f made/up/d 0644 0:0 " + stamp + ` "d"`, `f here 0644 0:0 ` + stamp + ` "a"`, "l link2 0777 0:0 " + stamp + " -> usr/lib",
		}},
		{"a link replaced", []entry{
			folder("a"), folder("b"), link("l", "a"), file("l/1", ""), link("l", "b"), file("l/2", ""),
		}, []string{
			"d a 0755 0:0 " + stamp, "d b 0755 0:0 " + stamp, "l l 0777 0:0 " + stamp + " -> b", "f a/1 0644 0:0 " + stamp + ` ""`, "f b/2 0644 0:0 " + stamp + ` ""`,
		}},
		{"names", []entry{
			file("./a/../b", ""), file("/abs", ""), file("x\xff\xfey", ""), file("s p\n", ""), folder(strings.Repeat("n", 255)),
			file(strings.Repeat("p/", 300)+"f", ""), file("..a/.b", ""), file("a.wh.b", ""), file(".wh..wh.aufs", ""), file(".wh..wh.plnk/1.2", ""),
			hard("self", "self2"), // replaced below
		}[:10], nil},
		{"times", []entry{
			file("early", "", at(time.Unix(-5, 0))), file("late", "", at(time.Unix(1<<40, 5))), folder("d", at(time.Unix(5, 0))), file("d/x", ""),
			folder("d/e", at(time.Unix(6, 0))), file("d/e/y", ""), link("l", "x", at(time.Unix(7, 0))),
		}, []string{
			"f early 0644 0:0 0.000" + ` ""`, "f late 0644 0:0 15032385535.000" + ` ""`, "d d 0755 0:0 5.000", "f d/x 0644 0:0 " + stamp + ` ""`,
			"d d/e 0755 0:0 6.000", "f d/e/y 0644 0:0 " + stamp + ` ""`, "l l 0777 0:0 7.000 -> x",
		}},
		{"owners", []entry{file("big", "", owner(1<<32-2, 3000000000)), folder("d", mode(0o2777), owner(0, 50)), file("d/own", "", owner(0, 0))}, []string{
			"f big 0644 4294967294:3000000000 " + stamp + ` ""`, "d d 2777 0:50 " + stamp, "f d/own 0644 0:0 " + stamp + ` ""`,
		}},
		{"a hard link to itself", []entry{file("a", "a"), hard("a", "./a")}, []string{"f a 0644 0:0 " + stamp + ` "a"`}},
		{"a hard link in place of a file", []entry{file("a", "a"), file("b", "b"), hard("b", "a"), folder("c"), file("c/x", ""), hard("c", "a")}, []string{
			"f a 0644 0:0 " + stamp + ` "a"`, "f b 0644 0:0 " + stamp + " = a", "f c 0644 0:0 " + stamp + " = a",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, res := unpacked(t, Options{}, archive(t, c.entries...))
			if res.Entries != int64(len(c.entries)) {
				t.Errorf("%d entries, want %d", res.Entries, len(c.entries))
			}
			if c.name != "names" {
				want(t, dir, c.want...)
				return
			}
			for _, name := range []string{"b", "abs", "x\xff\xfey", "s p\n", strings.Repeat("n", 255), strings.Repeat("p/", 300) + "f", "..a/.b", "a.wh.b"} {
				if _, err := os.Lstat(dir.Name() + "/" + name); err != nil {
					t.Error(err)
				}
			}
			if _, err := os.Lstat(dir.Name() + "/.wh..wh.aufs"); err == nil {
				t.Error("AUFS's notes were unpacked")
			}
		})
	}
}

// TestFormats: long names, foreign bytes and great numbers in every format.
func TestFormats(t *testing.T) {
	needRoot(t)
	long := strings.Repeat("long/", 40) + "name\xff"
	for _, format := range []tar.Format{tar.FormatPAX, tar.FormatGNU} {
		as := func(h *tar.Header) { h.Format, h.ModTime = format, time.Unix(5, 0) }
		var lines []string
		for i := range 40 {
			lines = append(lines, "d "+strings.Repeat("long/", i)+"long 0755 0:0 0.000")
		}
		dir, _ := unpacked(t, Options{}, archive(t, file(long, "x", owner(3_000_000_000, 4_000_000_000), as), link("l", long, as), hard("h", long, as)))
		want(t, dir, append(lines, "f h 0644 3000000000:4000000000 5.000 \"x\"", "f "+long+" 0644 3000000000:4000000000 5.000 = h", "l l 0777 0:0 5.000 -> "+long)...)
	}
}

// TestManyDirectories: more of them than are kept open, deeper and wider, through
// links too.
func TestManyDirectories(t *testing.T) {
	needRoot(t)
	deep, other := strings.Repeat("d/", 3*openDirs), strings.Repeat("e/", 3*openDirs)
	entries := []entry{file(deep+"f", "deep"), hard(other+"g", deep+"f"), folder("wide")}
	for i := range 3 * openDirs {
		entries = append(entries, folder(fmt.Sprintf("wide/%d", i), at(time.Unix(int64(i), 0))), link(fmt.Sprintf("l%d", i), fmt.Sprintf("wide/%d", i)))
	}
	for i := range 3 * openDirs {
		entries = append(entries, file(fmt.Sprintf("wide/%d/a", i), ""), file(fmt.Sprintf("l%d/b", 3*openDirs-1-i), ""))
	}
	entries = append(entries, link("l0", "wide/1"), file("l0/c", ""), file("l1/d", ""), folder(deep[:len(deep)-1], mode(0o711)))
	dir, _ := unpacked(t, Options{}, archive(t, entries...))
	for i := range 3 * openDirs {
		var st unix.Stat_t
		if err := unix.Stat(fmt.Sprintf("%s/wide/%d", dir.Name(), i), &st); err != nil || st.Mtim.Sec != int64(i) {
			t.Errorf("directory %d: time %d, %v", i, st.Mtim.Sec, err)
		}
		for _, name := range []string{"a", "b"} {
			if _, err := os.Lstat(fmt.Sprintf("%s/wide/%d/%s", dir.Name(), i, name)); err != nil {
				t.Error(err)
			}
		}
	}
	for _, name := range []string{"wide/1/c", "wide/1/d", deep + "f", other + "g"} {
		if _, err := os.Lstat(dir.Name() + "/" + name); err != nil {
			t.Error(err)
		}
	}
}

// TestRoot: a layer with an entry for its root has its attributes, another is
// marked.
func TestRoot(t *testing.T) {
	needRoot(t)
	dir, res := unpacked(t, Options{}, archive(t, folder(".", mode(0o1777), owner(3, 4)), file("f", "")))
	if got, want := tree(t, dir)[0], "d . 1777 3:4 "+stamp; got != want || res.FromBelow {
		t.Errorf("got %q, want %q", got, want)
	}
	dir, res = unpacked(t, Options{}, archive(t, file("f", "")))
	if got, want := tree(t, dir)[0], `d . 0755 0:0 0.000 trusted.hull.implied="y"`; got != want || res.FromBelow {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestCancelled: the end of the context ends the unpacking, wherever it is.
func TestCancelled(t *testing.T) {
	needRoot(t)
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	layer := archive(t, file("a", strings.Repeat("x", 1<<20)))
	go func() {
		_, _ = w.Write(layer[:600000])
		cancel()
		w.CloseWithError(ctx.Err()) // as a reader that obeys the context
	}()
	_, err := Layer(ctx, r, staging(t), Options{})
	var e *Error
	if !errors.As(err, &e) || e.Kind != Cancelled {
		t.Errorf("got %v, want Cancelled", err)
	}
}

// TestSource: a failure of the reader comes back as what it is.
func TestSource(t *testing.T) {
	needRoot(t)
	broken := errors.New("the connection broke")
	layer := archive(t, file("a", strings.Repeat("x", 1<<20)))
	for _, cause := range []error{broken, io.ErrUnexpectedEOF} {
		r := io.MultiReader(bytes.NewReader(layer[:600000]), failing{cause})
		_, err := Layer(context.Background(), r, staging(t), Options{})
		var e *Error
		if !errors.Is(err, cause) || !errors.As(err, &e) || e.Kind != System {
			t.Errorf("got %v, want %v", err, cause)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestSetgid: the group of the staging directory is handed on to nobody.
func TestSetgid(t *testing.T) {
	needRoot(t)
	dir := staging(t)
	if err := unix.Chmod(dir.Name(), 0o2755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir.Name(), 9, 9); err != nil {
		t.Fatal(err)
	}
	if _, err := Layer(context.Background(), bytes.NewReader(archive(t, folder("d"), file("f", ""))), dir, Options{}); err != nil {
		t.Fatal(err)
	}
	want(t, dir, "d d 0755 0:0 "+stamp, "f f 0644 0:0 "+stamp+` ""`)
}
