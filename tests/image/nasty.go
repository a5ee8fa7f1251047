package image

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Entry is an entry of a layer, with all that tar can say of it.
type Entry struct {
	tar.Header
	Body string
}

// Layer writes entries as one uncompressed layer. What an entry does not say is
// filled in: its type (a directory if the name ends in a slash), mode, time and
// format. A hard link has all that its target has, as whoever packs a directory
// writes it.
func Layer(entries ...Entry) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	earlier := map[string]tar.Header{}
	for i := range entries {
		h := entries[i].Header
		if to, ok := earlier[strings.TrimPrefix(h.Linkname, "/")]; ok && h.Typeflag == tar.TypeLink {
			h.Mode, h.Uid, h.Gid, h.ModTime, h.PAXRecords = to.Mode, to.Uid, to.Gid, to.ModTime, to.PAXRecords
		}
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
			if strings.HasSuffix(h.Name, "/") {
				h.Typeflag = tar.TypeDir
			}
		}
		if h.Mode == 0 {
			h.Mode = 0o644
			if h.Typeflag == tar.TypeDir {
				h.Mode = 0o755
			}
		}
		if h.ModTime.IsZero() {
			h.ModTime = Made.Add(time.Duration(i) * time.Second)
		}
		if h.Format == tar.FormatUnknown {
			h.Format = tar.FormatPAX
		}
		h.Size = int64(len(entries[i].Body))
		earlier[h.Name] = h
		if err := w.WriteHeader(&h); err != nil {
			return nil, fmt.Errorf("layer entry %q: %w", h.Name, err)
		}
		if _, err := w.Write([]byte(entries[i].Body)); err != nil {
			return nil, fmt.Errorf("layer entry %q: %w", h.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// file, gone, dir and the like are short for entries of layers that are about
// names and not about attributes.
func file(name, body string) Entry { return Entry{Header: tar.Header{Name: name}, Body: body} }
func dir(name string) Entry        { return Entry{Header: tar.Header{Name: name + "/"}} }
func link(name, to string) Entry {
	return Entry{Header: tar.Header{Name: name, Linkname: to, Typeflag: tar.TypeLink}}
}

func symlink(name, to string) Entry {
	return Entry{Header: tar.Header{Name: name, Linkname: to, Typeflag: tar.TypeSymlink, Mode: 0o777}}
}

func (e Entry) owned(uid, gid int) Entry { e.Uid, e.Gid = uid, gid; return e }
func (e Entry) mode(m int64) Entry       { e.Mode = m; return e }
func (e Entry) at(t time.Time) Entry     { e.ModTime = t; return e }
func (e Entry) typed(t byte, maj, min int64) Entry {
	e.Typeflag, e.Devmajor, e.Devminor = t, maj, min
	return e
}

func (e Entry) with(xattrs ...string) Entry {
	e.PAXRecords = map[string]string{}
	for i := 0; i < len(xattrs); i += 2 {
		e.PAXRecords["SCHILY.xattr."+xattrs[i]] = xattrs[i+1]
	}
	return e
}

// NetRaw is the attribute security.capability of a program with cap_net_raw=ep.
const NetRaw = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// Nasty are images in which unpackers have gone wrong, by name: the same tree has
// to come out of each, whoever unpacks it.
//
//	removed     whiteouts and opaque directories, in every layer
//	disordered  what is removed and made in one layer, in either order
//	replaced    files that become directories and the other way round
//	twice       names that one layer has twice
//	linked      hard links: absolute, to symbolic links, to what is replaced
//	below       hard links to files of the layers below
//	attributes  modes, owners, times, extended attributes and capabilities
//	named       long names, long targets, bytes that are no UTF-8, control characters
//	sparse      files with holes, in the three ways that PAX headers say it
//	gnu-sparse  the same in GNU's own format
//	tall        127 layers; tall-125 as many as Docker takes
//	wide        100,000 files
func Nasty(ctx context.Context) (map[string]v1.Image, error) {
	out := map[string]v1.Image{}
	for name, layers := range map[string][][]Entry{
		"removed": removed(), "disordered": disordered(), "replaced": replaced(), "twice": twice(), "linked": linked(), "below": below(), "attributes": attributes(),
		"named": named(), "tall": tall(127), "tall-125": tall(125), "wide": wide(),
	} {
		var stack []v1.Layer
		for _, entries := range layers {
			text, err := Layer(entries...)
			if err != nil {
				return nil, fmt.Errorf("image %s: %w", name, err)
			}
			l, err := Gzip(text)
			if err != nil {
				return nil, err
			}
			stack = append(stack, l)
		}
		img, err := Build(v1.Config{Cmd: []string{"/none"}}, stack...)
		if err != nil {
			return nil, err
		}
		out[name] = img
	}
	for name, formats := range map[string][]string{
		"gnu-sparse": {"--format=gnu"},
		"sparse":     {"--format=pax --sparse-version=0.0", "--format=pax --sparse-version=0.1", "--format=pax --sparse-version=1.0"},
	} {
		img, err := sparse(ctx, formats)
		if err != nil {
			return nil, err
		}
		out[name] = img
	}
	return out, nil
}

func removed() [][]Entry {
	base := []Entry{dir("."), file(".wh.never", ""), dir("etc")}
	for _, d := range strings.Fields("keep gone before after again opaque-first opaque-last opaque-new deep deep/er deep/er/est cache") {
		base = append(base, dir(d), file(d+"/one", "1"), file(d+"/two", "2"))
	}
	base = append(base, symlink("to-keep", "keep"), file("plain", "p"))
	return [][]Entry{
		base,
		{
			dir("keep"), file("keep/.wh.one", ""),
			file(".wh.gone", ""), // with all that is in it
			dir("opaque-first"), file("opaque-first/.wh..wh..opq", ""), file("opaque-first/new", "n"),
			dir("opaque-last"), file("opaque-last/new", "n"), file("opaque-last/.wh..wh..opq", ""),
			dir("before"), dir("before/in"), file("before/in/.wh..wh..opq", ""), file("after/.wh.two", ""),
			file("deep/er/est/.wh.one", ""), // without entries for the directories
			file(".wh.to-keep", ""), file(".wh.nothing-of-the-kind", ""), file(".wh.plain", ""),
			dir("again"), file("again/.wh.one", ""), file("again/.wh.two", ""),
			dir("fresh"), file("fresh/.wh..wh..opq", ""), file("fresh/a", "a"),
		},
		{
			dir("gone"), file("gone/back", "b"), // made again: nothing old is in it
			dir("again"), file("again/one", "another"),
			file("opaque-first/.wh.new", ""),
			dir("deep"), file("deep/.wh..wh..opq", ""), dir("deep/er"), file("deep/er/three", "3"),
			symlink("plain", "keep/two"),
			file("fresh/.wh.a", ""),
			dir("cache"), file("cache/.wh..wh..opq", ""),
		},
		{file("opaque-last/two", "back"), file(".wh.cache", ""), file(".wh.before", "")},
	}
}

// disordered: whatever the order, what the layer has stays.
func disordered() [][]Entry {
	return [][]Entry{
		append(removed()[0], file("etc/.wh.nor-this", "")), // which is below nothing
		{
			file(".wh.before", ""), dir("before"), file("before/new", "n"),
			dir("after"), file("after/new", "n"), file(".wh.after", ""),
			file("keep/.wh.one", ""), file("keep/one", "new"), file("keep/two", "new"), file("keep/.wh.two", ""),
			file(".wh.plain", ""), symlink("plain", "keep"), symlink("to-keep", "again"), file(".wh.to-keep", ""),
			file("deep/er/est/new", "n"), file("deep/.wh.er", ""),
			file(".wh.cache", ""), file("cache/three", "without an entry for its directory"),
			file("opaque-last/new", "n"), file("opaque-last/.wh..wh..opq", ""),
			file("opaque-first/.wh..wh..opq", ""), file("opaque-first/.wh.one", ""), file("opaque-first/two", "n"),
		},
	}
}

func replaced() [][]Entry {
	return [][]Entry{
		{
			dir("."), file("file", "f"), dir("dir"), file("dir/in", "i"), dir("dir/sub"), file("dir/sub/deep", "d"), symlink("link", "dir"),
			symlink("link2", "file"), dir("dir2"), file("dir2/in", "i"),
			dir("merge").mode(0o700).owned(5, 6), file("merge/old", "o"),
			symlink("usr-bin", "usr/bin"), dir("usr"), dir("usr/bin"), file("fifo", "no fifo"),
		},
		{
			dir("file").mode(0o711), file("file/now", "a directory"),
			file("dir", "now a file"), dir("link"), file("link/real", "r"), file("link2", "a file, the other one stays"),
			symlink("dir2", "merge"), dir("merge").mode(0o1777).owned(7, 8), file("merge/new", "n"),
			file("usr/bin/tool", "t"),
			Entry{Header: tar.Header{Name: "fifo", Typeflag: tar.TypeFifo}},
		},
		{
			file("file", "a file again"), dir("dir"), file("dir/third", "3"), file("link", "was a link, was a directory"),
			file("merge/old", "newer"), dir("./new//odd/./path"), file("./new//odd/./path/x", "x"),
		},
	}
}

// twice: the last one counts.
func twice() [][]Entry {
	return [][]Entry{{
		dir("."), file("content", "first"), file("content", "second, and longer").owned(1, 2), file("shorter", "long, and then"), file("shorter", "short"),
		file("link", "a file"), symlink("link", "then/a/link"), symlink("file", "x"), file("file", "was a link").mode(0o600),
		dir("dir").mode(0o700), file("dir/in", "i"), dir("dir").mode(0o755).owned(3, 3), file("./dir/in", "again"),
		file("xattr", "x").with("user.first", "1"), file("xattr", "x").with("user.second", "2"), link("hard", "content"), file("content", "on its own"),
	}}
}

func linked() [][]Entry {
	return [][]Entry{
		{
			dir("."), dir("a"), file("a/one", "1").mode(0o4755).with("user.mark", "m"), link("a/two", "a/one"), link("three", "/a/one"),
			symlink("sym", "a/one"), link("hard-sym", "sym"), file("alone", "alone").owned(12, 13).mode(0o2711), file("empty", ""),
			link("empty2", "empty"), file("will-go", "w"), link("stays", "will-go"), file("apart", "a"), link("apart2", "apart"),
			Entry{Header: tar.Header{Name: "pipe", Typeflag: tar.TypeFifo}},
			link("pipe2", "pipe"),
			file("capable", "c").mode(0o755).with("security.capability", NetRaw), link("capable2", "capable"),
		},
		{file(".wh.will-go", ""), file("apart", "changed"), link("apart3", "apart"), file("three", "on its own")},
	}
}

func below() [][]Entry {
	return [][]Entry{
		linked()[0],
		{
			link("b", "alone"), link("b2", "alone"), link("b3", "capable"), link("below-sym", "sym"), link("pipe3", "pipe"),
			file(".wh.will-go", ""), file("apart", "changed"), link("apart3", "apart"),
		},
		{link("c", "b"), file("three", "on its own"), file("d", "d"), link("d", "a/two")},
	}
}

func attributes() [][]Entry {
	var entries []Entry
	entries = append(entries, dir(".").mode(0o751).owned(3, 4).at(time.Unix(1_400_000_000, 0)))
	for _, m := range []int64{0o4755, 0o2755, 0o1644, 0o7777, 0o6711, 0o001, 0o400} {
		entries = append(entries, file(fmt.Sprintf("mode-%04o", m), "m").mode(m), dir(fmt.Sprintf("dir-%04o", m)).mode(m))
	}
	for _, id := range []int{1, 65534, 65535, 65536, 100_000, 1<<31 - 1, 1 << 31, 1<<32 - 2} {
		entries = append(entries, file(fmt.Sprintf("owner-%d", id), "o").owned(id, id), dir(fmt.Sprintf("owner-dir-%d", id)).owned(id, 7),
			symlink(fmt.Sprintf("owner-link-%d", id), "x").owned(id, id))
	}
	for name, at := range map[string]time.Time{
		"zero": time.Unix(0, 0), "sub-second": time.Unix(1_500_000_000, 123_456_789), "nanosecond": time.Unix(1_500_000_000, 1),
		"before-1970": time.Unix(-1_000_000, 0), "half-before-1970": time.Unix(-2, 500_000_000), "after-2038": time.Unix(1<<32+5, 0),
	} {
		entries = append(entries, file("time-"+name, "t").at(at), dir("time-dir-"+name).at(at), symlink("time-link-"+name, "t").at(at))
	}
	entries = append(entries,
		file("xattrs", "x").with("user.one", "1", "user.bytes", "\x00\xff=\n", "user.empty", ""),
		dir("xattr-dir").with("user.dir", "d"),
		file("capable", "c").mode(0o755).with("security.capability", NetRaw),
		file("capable-setuid", "c").mode(0o4755).owned(33, 33).with("security.capability", NetRaw, "user.too", "yes"),
		Entry{Header: tar.Header{Name: "fifo"}}.mode(0o620).typed(tar.TypeFifo, 0, 0),
		Entry{Header: tar.Header{Name: "char"}}.mode(0o666).typed(tar.TypeChar, 1, 3).owned(0, 5),
		Entry{Header: tar.Header{Name: "block"}}.mode(0o660).typed(tar.TypeBlock, 253, 1_000),
		file("in/a/directory/without/an/entry", "i"),
	)
	return [][]Entry{
		entries,
		{
			file("xattr-dir/in", "the directory has no entry here"),
			dir("dir-7777").mode(0o700).owned(9, 9).at(time.Unix(1_600_000_000, 500)),
			file("xattrs", "other").with("user.two", "2"),
			file("dir-4755/in", "times of the directory stay"),
		},
	}
}

func named() [][]Entry {
	component := strings.Repeat("n", 255)
	deep := strings.TrimSuffix(strings.Repeat(strings.Repeat("d", 99)+"/", 20), "/")
	entries := []Entry{
		dir("."), file(component, "255 bytes"), dir(deep), file(deep+"/"+component, "deep"), symlink("target", strings.Repeat("t/", 1000)+"t"),
		symlink("dangling", "/nowhere/../\xff\xfe"), file("latin-1-\xe9\xe8", "no UTF-8"), file("\xff\xfe\xfd", "nor this"), dir("dir-\x80"), file("dir-\x80/\xc3\x28", "x"),
		file("new\nline", "n"), file("tab\tbell\a", "t"), file(" leading and trailing ", "s"), file("-rf", "r"), file("*", "star"), file(`back\slash`, "b"),
		file("ünïcödé-名前-🐳", "u"), file("e\u0301", "decomposed"), file("\u00e9", "composed"), file(".hidden", "h"), file("...", "dots"), file("a=b", "c"),
		file("wh.not-a-whiteout", "w"), file("x.wh.y", "w"),
		link("hard-\xff", "\xff\xfe\xfd"),
	}
	gnu := []Entry{file("gnu-"+strings.Repeat("g", 200), "GNU's long name"), symlink("gnu-link", strings.Repeat("l", 300)), file("gnu-\xfe", "bytes")}
	for i := range gnu {
		gnu[i].Format = tar.FormatGNU
	}
	// USTAR's prefix field, too.
	ustar := file(strings.Repeat("u", 90)+"/"+strings.Repeat("v", 95), "USTAR's prefix")
	ustar.Format = tar.FormatUSTAR
	return [][]Entry{entries, append(gnu, ustar), {file(".wh.latin-1-\xe9\xe8", ""), file("dir-\x80/.wh.\xc3\x28", ""), file("dir-\x80/\xc3", "y")}}
}

// tall has many layers. Docker takes 125.
func tall(n int) [][]Entry {
	layers := [][]Entry{{dir("."), dir("d"), file("d/0", "0"), file("all", "0"), link("linked", "all")}}
	for i := 1; i < n; i++ {
		l := []Entry{file(fmt.Sprintf("d/%d", i), fmt.Sprint(i)), file("all", fmt.Sprint(i))}
		switch i % 4 {
		case 0:
			l = append(l, file(fmt.Sprintf("d/.wh.%d", i-1), ""))
		case 1:
			l = append(l, dir(fmt.Sprintf("e/%d", i)), file(fmt.Sprintf("e/%d/f", i), "f"))
		case 2:
			l = append(l, dir("e"), file("e/.wh..wh..opq", ""), dir("e/kept"))
		case 3:
			l = append(l, link(fmt.Sprintf("d/link-%d", i), fmt.Sprintf("d/%d", i)), dir("e").mode(0o711))
		}
		layers = append(layers, l)
	}
	return layers
}

// wide has 100,000 small files in 1,000 directories, and a layer that changes some.
func wide() [][]Entry {
	entries := []Entry{dir("."), dir("w")}
	for d := range 1000 {
		name := fmt.Sprintf("w/%03d", d)
		entries = append(entries, dir(name))
		for f := range 99 {
			entries = append(entries, file(fmt.Sprintf("%s/%02d", name, f), fmt.Sprint(d, f)).owned(d, f))
		}
	}
	var over []Entry
	for d := 0; d < 1000; d += 10 {
		name := fmt.Sprintf("w/%03d", d)
		over = append(over, file(name+"/.wh.07", ""), file(name+"/08", "changed"))
	}
	return [][]Entry{entries, over}
}

// sparse has GNU tar write files with holes, each layer in another format.
func sparse(ctx context.Context, formats []string) (v1.Image, error) {
	root, err := os.MkdirTemp("", "hull-sparse-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(root)
	for name, at := range map[string][]int64{
		"hole-then-data": {1 << 20}, "data-then-hole": {0, -(3 << 20)}, "only-a-hole": {-(1 << 22)},
		"many": {0, 1 << 16, 5 << 16, 9 << 16, 1 << 22, 1<<22 + 12345, -(5 << 20)}, "no-hole": {0},
		// More pieces than fit into the header of GNU's old format.
		"more": {0, 1 << 16, 2 << 16, 3 << 16, 4 << 16, 5 << 16, 6 << 16, 7 << 16, 8 << 16, 9 << 16, 10 << 16, 11 << 16, 12 << 16, 13 << 16, 14 << 16, 15 << 16, 16 << 16, 17 << 16, 18 << 16, 19 << 16, 20 << 16, 21 << 16, 22 << 16, 23 << 16, 24 << 16, 25 << 16},
	} {
		if err := holes(filepath.Join(root, name), at); err != nil {
			return nil, err
		}
	}
	var layers []v1.Layer
	for i, format := range formats {
		args := append(strings.Fields(format), "--sparse", "--numeric-owner", "--owner=0", "--group=0", "--sort=name", "--mtime=@1715947200",
			fmt.Sprintf("--transform=s,^\\.,./%d,", i), "-C", root, "-cf", "-", ".")
		out, err := exec.CommandContext(ctx, "tar", args...).Output()
		if err != nil {
			return nil, fmt.Errorf("tar %s: %w", format, err)
		}
		l, err := Gzip(out)
		if err != nil {
			return nil, err
		}
		layers = append(layers, l)
	}
	return Build(v1.Config{Cmd: []string{"/none"}}, layers...)
}

// holes writes a file with some data at each offset; a negative one is the size to
// which it is then extended.
func holes(path string, at []int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	for _, offset := range at {
		if offset < 0 {
			err = f.Truncate(-offset)
		} else {
			_, err = f.WriteAt([]byte(fmt.Sprintf("data at %d", offset)), offset)
		}
		if err != nil {
			break
		}
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
