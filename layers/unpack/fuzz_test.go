package unpack

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hull/layers/internal/sys"
)

// FuzzLayer: whatever the stream, nothing outside the staging directory changes,
// no device 0:0 and no attribute of overlay comes out of an entry that asked for
// it, and the error is typed.
func FuzzLayer(f *testing.F) {
	needRoot(f)
	for _, entries := range [][]entry{
		lowest(), middle(),
		{link("l", "/"), file("l/../../x", ""), file("l/outside", "x")},
		{link("l", "../../.."), file("l/y", "")},
		{hard("h", "../outside"), hard("h", "/outside")},
		{link("a", "b"), link("b", "a"), file("a/x", "")},
		{file("d/.wh..wh..opq", ""), file(".wh.d", ""), file("d", ""), folder("d"), file("d/x", "")},
		{folder("y"), file("y/t", ""), link("l", "y"), hard("y", "l/t")},
		{file(".wh..wh.aufs/x", "")},
		{char("c", numbers(0, 0))},
		{folder("x", xattrOf("trusted.overlay.redirect", "/"))},
		{file("x", "", owner(1<<40, 0))},
	} {
		f.Add(archive(f, entries...))
	}
	f.Fuzz(func(t *testing.T, layer []byte) {
		top := t.TempDir()
		inside := filepath.Join(top, "in")
		if err := errors.Join(os.Mkdir(inside, 0o700), os.WriteFile(filepath.Join(top, "outside"), []byte("as it was"), 0o600)); err != nil {
			t.Fatal(err)
		}
		dir, err := sys.OpenRoot(inside)
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		limits := Limits{Bytes: 1 << 20, Entries: 1000, Depth: 50}
		_, err = Layer(context.Background(), bytes.NewReader(layer), dir, Options{Limits: limits})
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("an error without a kind: %v", err)
		}
		left, err := os.ReadDir(top)
		if err != nil || len(left) != 2 {
			t.Errorf("beside the staging directory: %v, %v", left, err)
		}
		if b, err := os.ReadFile(filepath.Join(top, "outside")); err != nil || string(b) != "as it was" {
			t.Errorf("outside: %q, %v", b, err)
		}
		err = sys.RemoveContents(context.Background(), dir)
		if err != nil {
			t.Errorf("removing it again: %v", err)
		}
	})
}

// FuzzAbove: whatever is unpacked above other layers, those stay as they are, and
// nothing of what a layer removes is taken from them.
func FuzzAbove(f *testing.F) {
	needRoot(f)
	for _, entries := range [][]entry{
		lowest(), middle(),
		{hard("h", "/d/e/f"), hard("d/h2", "d/e/f"), hard("l", "d/l"), hard("c", "d/c")},
		{file(".wh.d", ""), file("d/e/new", ""), hard("h", "d/e/f")},
		{file("d/e/new", ""), file("o/p/new", ""), file("x/new", ""), file("y/new", ""), file("z/.wh.z", "")},
		{link("d", "/o"), file("d/p/x", ""), hard("d/h", "x")},
		{file("d/e/f", "another"), file("d/.wh.e", ""), hard("h", "d/e/f")},
		{file("d/new", ""), file("d", "a file now"), folder("d"), file("d/e/new", "")},
	} {
		f.Add(archive(f, entries...))
	}
	lower := two(f)
	before := strings.Join(append(tree(f, lower[0]), tree(f, lower[1])...), "\n")
	f.Fuzz(func(t *testing.T, layer []byte) {
		dir := staging(t)
		_, err := Layer(context.Background(), bytes.NewReader(layer), dir, Options{Lower: lower, Limits: Limits{Bytes: 1 << 20, Entries: 1000, Depth: 50}})
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("an error without a kind: %v", err)
		}
		if after := strings.Join(append(tree(t, lower[0]), tree(t, lower[1])...), "\n"); after != before {
			t.Errorf("the layers below were\n%s\nand are\n%s", before, after)
		}
		if err := sys.RemoveContents(context.Background(), dir); err != nil {
			t.Errorf("removing it again: %v", err)
		}
	})
}

// FuzzNotes: what is read of notes never goes beyond them.
func FuzzNotes(f *testing.F) {
	f.Add([]byte{3, 'a', '/', 'b', 2, 4, 6, 8})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{1, 'x', 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		if note, size := readNote(b); size < 0 || size > len(b) || len(note.path) > len(b) {
			t.Errorf("of %d bytes %d are read: %+v", len(b), size, note)
		}
	})
}

// FuzzName: a cleaned name has no way up and stays itself when cleaned again.
func FuzzName(f *testing.F) {
	for _, s := range []string{"", ".", "..", "/", "a/../..", "./.wh.a", ".wh..wh..opq", "a//b/./c/", "\xff/..\x00", ".wh.", "a/.wh.b/c", "..a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		n, err := parseName(raw, 100)
		if err != nil {
			return
		}
		p := n.path()
		for part := range strings.SplitSeq(p, "/") {
			if part == ".." || part == "." || part == "" && p != "" {
				t.Errorf("%q is cleaned to %q", raw, p)
			}
		}
		if again, err := clean(p, 100); err != nil || again != p {
			t.Errorf("%q, cleaned to %q, is cleaned again to %q, %v", raw, p, again, err)
		}
	})
}
