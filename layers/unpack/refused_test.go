package unpack

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

// TestRefused: what must not be unpacked, and what is said of it.
func TestRefused(t *testing.T) {
	needRoot(t)
	for _, c := range []struct {
		name    string
		kind    Kind
		entries []entry
	}{
		{"a name leads out", Hostile, []entry{file("../x", "")}},
		{"a name leads out later", Hostile, []entry{file("a/../../x", "")}},
		{"a link's target leads out", Hostile, []entry{hard("a", "../../etc/passwd")}},
		{"whiteout of nothing", Hostile, []entry{file("d/.wh.", "")}},
		{"whiteout of .", Hostile, []entry{file("d/.wh..", "")}},
		{"whiteout of ..", Hostile, []entry{file("d/.wh...", "")}},
		{"whiteout of a whiteout", Hostile, []entry{file("d/.wh..wh.x", "")}},
		{"whiteout as a directory", Hostile, []entry{file(".wh.d/x", "")}},
		{"link to a whiteout", Hostile, []entry{file(".wh.x", ""), hard("y", ".wh.x")}},
		{"link to what is gone", Corrupt, []entry{file(".wh.x", ""), hard("y", "x")}},
		{"link below what is gone", Corrupt, []entry{file(".wh.x", ""), hard("y", "x/z")}},
		{"link to nothing", Corrupt, []entry{hard("y", "x/z")}},
		{"link to a directory", Corrupt, []entry{folder("x"), hard("y", "x")}},
		{"link to the root", Corrupt, []entry{hard("y", "/")}},
		{"link to itself", Corrupt, []entry{hard("y", "y")}},
		{"link that removes its target", Corrupt, []entry{folder("y"), file("y/t", ""), hard("y", "y/t")}},
		{"link through a link that removes its target", Corrupt, []entry{folder("y"), folder("y/z"), file("y/z/t", ""), link("l", "y/z"), hard("y", "l/t")}},
		{"device 0:0", Hostile, []entry{char("x", numbers(0, 0))}},
		{"device out of range", Corrupt, []entry{char("x", numbers(5000, 0))}},
		{"overlay's attribute", Hostile, []entry{folder("x", xattrOf("trusted.overlay.opaque", "y"))}},
		{"overlay's other attribute", Hostile, []entry{folder("x", xattrOf("user.overlay.redirect", "/etc"))}},
		{"malformed capabilities", Corrupt, []entry{file("x", "", xattrOf("security.capability", "abc"))}},
		{"file as a directory", Corrupt, []entry{file("x", ""), file("x/y", "")}},
		{"link loop", Corrupt, []entry{link("a", "b"), link("b", "a"), file("a/x", "")}},
		{"root as a file", Hostile, []entry{file(".", "")}},
		{"root as a link", Hostile, []entry{link(".", "/etc")}},
		{"long name", TooLarge, []entry{file(strings.Repeat("n", 256), "")}},
		{"whiteout of a long name", TooLarge, []entry{file(".wh."+strings.Repeat("n", 256), "")}},
		{"long path", TooLarge, []entry{file(strings.Repeat("n/", 2500)+"f", "")}},
		{"owner 2³²-1", Corrupt, []entry{file("x", "", owner(1<<32-1, 0))}},
		{"owner out of range", Corrupt, []entry{file("x", "", owner(0, 1<<40))}},
		{"long link", TooLarge, []entry{link("x", strings.Repeat("n", 5000))}},
		{"no link", Corrupt, []entry{link("x", "")}},
		{"attribute without end", TooLarge, []entry{file("x", "", xattrOf("user.x", strings.Repeat("v", 1<<17)))}},
	} {
		t.Run(c.name, func(t *testing.T) {
			refused(t, archive(t, c.entries...), Options{}, c.kind)
		})
	}
}

func refused(t *testing.T, layer []byte, o Options, kind Kind) {
	t.Helper()
	_, err := Layer(context.Background(), bytes.NewReader(layer), staging(t), o)
	var e *Error
	if !errors.As(err, &e) || e.Kind != kind {
		t.Errorf("got %v, want kind %q", err, kind)
	}
}

// TestRaw: streams that no archive writer makes.
func TestRaw(t *testing.T) {
	needRoot(t)
	good := archive(t, file("x", strings.Repeat("x", 5000)))
	unknown := bytes.Clone(archive(t, file("x", "")))
	unknown[1024+156] = 'V' // after the PAX header and its record
	sum(unknown[1024:1536])
	header := bytes.Clone(good)
	header[10] ^= 1
	for _, c := range []struct {
		name  string
		layer []byte
	}{
		{"truncated", good[:len(good)-3000]},
		{"in a header", good[:700]},
		{"header's sum", header},
		{"garbage", bytes.Repeat([]byte("garbage!"), 300)},
		{"unknown type", unknown},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, c.layer, Options{}, Corrupt) })
	}
	t.Run("empty", func(t *testing.T) { unpacked(t, Options{}, nil) })
	t.Run("only the end", func(t *testing.T) { unpacked(t, Options{}, make([]byte, 1024)) })
	t.Run("without an end", func(t *testing.T) { unpacked(t, Options{}, archive(t, file("x", ""))[:2048]) })
	t.Run("trailing bytes", func(t *testing.T) {
		unpacked(t, Options{}, append(bytes.Clone(good), bytes.Repeat([]byte{7}, 3<<20)...))
	})
}

// sum sets a header's checksum.
func sum(header []byte) {
	copy(header[148:], "        ")
	n := 0
	for _, b := range header[:512] {
		n += int(b)
	}
	copy(header[148:], []byte{'0' + byte(n>>15&7), '0' + byte(n>>12&7), '0' + byte(n>>9&7), '0' + byte(n>>6&7), '0' + byte(n>>3&7), '0' + byte(n&7), 0, ' '})
}

func TestLimits(t *testing.T) {
	needRoot(t)
	layer := archive(t, file("a", "0123456789"), file("b/c/d", "0123456789"))
	for _, c := range []struct {
		name string
		l    Limits
	}{
		{"bytes of the stream", Limits{Bytes: 1000}}, {"entries", Limits{Entries: 1}}, {"depth", Limits{Depth: 2}},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, layer, Options{Limits: c.l}, TooLarge) })
	}
	unpacked(t, Options{Limits: Limits{Bytes: int64(len(layer)), Entries: 2, Depth: 3}}, layer)
	t.Run("ratio", func(t *testing.T) {
		huge := io.LimitReader(zeroReader{}, 2*ratioFloor) // zeros are no entries: it is the stream that is too long
		_, err := Layer(context.Background(), huge, staging(t), Options{Compressed: 1000})
		var e *Error
		if !errors.As(err, &e) || e.Kind != TooLarge {
			t.Errorf("got %v, want TooLarge", err)
		}
	})
}

type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) { clear(b); return len(b), nil }
