package unpack

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

// lowest has a bit of everything for layers above it to take.
func lowest() []entry {
	return []entry{
		folder("d", mode(0o2710), owner(5, 6), at(time.Unix(11, 0)), xattrOf("user.x", "dx")),
		folder("d/e", mode(0o700), owner(7, 8), at(time.Unix(12, 0))),
		file("d/e/f", "content", mode(0o4711), owner(9, 10), at(time.Unix(13, 0)), xattrOf("user.f", "fx")),
		link("d/l", "e/f", owner(3, 3), at(time.Unix(14, 0))), char("d/c", numbers(1, 3), at(time.Unix(15, 0))),
		file("d/gone", ""), folder("o", mode(0o711)), folder("o/p", mode(0o700)), file("x", "file"), folder("y", mode(0o700)), file("y/f", ""),
	}
}

// middle hides some of it.
func middle() []entry {
	return []entry{
		folder("d", mode(0o2715), owner(55, 66), at(time.Unix(21, 0))), file("d/.wh.gone", ""),
		folder("o", mode(0o777)), file("o/.wh..wh..opq", ""), file("y", "now a file"),
	}
}

func two(t testing.TB) []*os.File {
	t.Helper()
	a, _ := unpacked(t, Options{}, archive(t, lowest()...))
	b, res := unpacked(t, Options{Below: func(context.Context) ([]*os.File, error) {
		t.Error("a layer with all its directories asked for those below")
		return nil, nil
	}}, archive(t, middle()...))
	if res.FromBelow {
		t.Error("a layer with all its directories depends on those below")
	}
	return []*os.File{b, a}
}

// TestParents: directories without an entry are those of the layers below.
func TestParents(t *testing.T) {
	needRoot(t)
	asked := 0
	lower := two(t)
	dir, res := unpacked(t, Options{Below: func(context.Context) ([]*os.File, error) {
		asked++
		return lower, nil
	}}, archive(t, file("d/e/new", ""), file("o/p/new", ""), file("x/new", ""), file("y/new", ""), file("z/.wh.z", ""), file("later/new", ""), folder("later", mode(0o500))))
	if !res.FromBelow || asked != 1 {
		t.Errorf("FromBelow is %v, asked %d times", res.FromBelow, asked)
	}
	want(
		t, dir,
		"d d 2715 55:66 21.000", "d d/e 0700 7:8 12.000", "f d/e/new 0644 0:0 "+stamp+` ""`,
		"d o 0777 0:0 "+stamp, "d o/p 0755 0:0 0.000", "f o/p/new 0644 0:0 "+stamp+` ""`, // o is opaque in the middle
		"d x 0755 0:0 0.000", "f x/new 0644 0:0 "+stamp+` ""`, "d y 0755 0:0 0.000", "f y/new 0644 0:0 "+stamp+` ""`,
		`d z 0755 0:0 0.000 trusted.overlay.origin=""`, "gone z/z",
		"d later 0500 0:0 "+stamp, "f later/new 0644 0:0 "+stamp+` ""`,
	)
	// The attributes of the lowest, where nothing is between.
	dir, _ = unpacked(t, Options{Lower: lower[1:]}, archive(t, file("d/new", "")))
	want(t, dir, `d d 2710 5:6 11.000 user.x="dx"`, "f d/new 0644 0:0 "+stamp+` ""`)
	// Nothing below, yet it would have been asked.
	if _, res := unpacked(t, Options{}, archive(t, file("d/new", ""))); !res.FromBelow {
		t.Error("a layer with a missing parent says that it depends on nothing")
	}
}

// TestHidden: what the layer itself removes is not taken from below.
func TestHidden(t *testing.T) {
	needRoot(t)
	dir, _ := unpacked(t, Options{Lower: two(t)}, archive(t, file(".wh.d", ""), file("d/e/new", "")))
	want(t, dir, `d d 0755 0:0 0.000 trusted.overlay.opaque="y"`, "d d/e 0755 0:0 0.000", "f d/e/new 0644 0:0 "+stamp+` ""`)
	for _, entries := range [][]entry{
		{file(".wh.d", ""), hard("h", "d/e/f")},
		{file("d/.wh..wh..opq", ""), hard("h", "d/e/f")},
		{file("d/e/.wh..wh..opq", ""), hard("h", "d/e/f")},
		{file("d/e/.wh.f", ""), hard("h", "d/e/f")},
		{file(".wh..wh..opq", ""), hard("h", "d/e/f")},
		{hard("h", "d/gone")},
		{hard("h", "o/p")},
		{hard("h", "y/f")},
		{hard("h", "d/e")},
		{hard("h", "d/l/x")},
	} {
		refused(t, archive(t, entries...), Options{Lower: two(t)}, Corrupt)
	}
}

// TestCopyUp: a hard link to a file of the layers below brings it along with all
// it has.
func TestCopyUp(t *testing.T) {
	needRoot(t)
	dir, res := unpacked(t, Options{Lower: two(t)}, archive(t, hard("h", "/d/e/f"), hard("d/h2", "d/e/f"), hard("l", "d/l"), hard("c", "d/c")))
	if !res.FromBelow || res.Bytes != 10 { // 7 of the file, 3 of the link
		t.Errorf("%+v", res)
	}
	want(
		t, dir,
		"d d 2715 55:66 21.000", "d d/e 0700 7:8 12.000", `f d/e/f 4711 9:10 13.000 "content" user.f="fx"`,
		`f d/h2 4711 9:10 13.000 = d/e/f user.f="fx"`, `f h 4711 9:10 13.000 = d/e/f user.f="fx"`,
		"l d/l 0777 3:3 14.000 -> e/f", "l l 0777 3:3 14.000 -> e/f", "c 1:3 d/c 0600 0:0 15.000", "c 1:3 c 0600 0:0 15.000",
	)
}

// TestBelowFails: what the caller says about the layers below is what is said.
func TestBelowFails(t *testing.T) {
	needRoot(t)
	gone := errors.New("the layer below failed")
	_, err := Layer(context.Background(), bytes.NewReader(archive(t, file("d/x", ""))), staging(t),
		Options{Below: func(context.Context) ([]*os.File, error) { return nil, gone }})
	if !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}
