package tests

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"hull/tests/image"
)

// attack is one image of a stranger's, and what has to come of it.
type attack struct {
	name   string
	image  func(h *hostile, repo string)
	refuse string // the sentence that refuses it, a regular expression; "" means that it is taken
	wanted string // a path that one of its layers must hold then
}

// ofLayer makes an attack of one uncompressed layer.
func ofLayer(name, refuse string, plain []byte) attack {
	return attack{name: name, refuse: refuse, image: func(h *hostile, repo string) { h.image(repo, layer(plain)) }}
}

// taken makes an attack of a layer that is harmless where it is kept inside: path
// is where its file then lies.
func taken(name, path string, plain []byte) attack {
	a := ofLayer(name, "", plain)
	a.wanted = path
	return a
}

func tarOf(files ...image.File) []byte {
	b, err := image.Tar(files)
	if err != nil {
		panic(err)
	}
	return b
}

// put is a regular file's entry, to and hard are links.
func put(name, body string) image.File {
	return image.File{Name: name, Mode: 0o644, Body: []byte(body)}
}

func to(name, target string) image.File {
	return image.File{Name: name, Mode: 0o777, Type: tar.TypeSymlink, Link: target}
}

func hard(name, target string) image.File {
	return image.File{Name: name, Mode: 0o644, Type: tar.TypeLink, Link: target}
}

// node is an entry without content.
func node(name string, kind byte) image.File { return image.File{Name: name, Mode: 0o666, Type: kind} }

func marked(name, attribute, value string) image.File {
	return image.File{Name: name, Mode: 0o755, Xattrs: map[string]string{attribute: value}}
}

// rawHeader is a tar header block of any size and type, for what no writer would write.
func rawHeader(name string, kind byte, size string) []byte {
	b := make([]byte, 512)
	copy(b, name)
	copy(b[100:], "0000644\x00")
	copy(b[108:], "0000000\x00")
	copy(b[116:], "0000000\x00")
	copy(b[124:136], size)
	copy(b[136:], "00000000000\x00")
	b[156] = kind
	copy(b[257:], "ustar\x0000")
	copy(b[148:], "        ")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// base256 is a size of 2⁶³-1 as GNU tar would write it.
var base256 = "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff"

// pax is a PAX header with these records, before an entry.
func pax(records string) []byte {
	b := rawHeader("PaxHeaders", 'x', fmt.Sprintf("%011o\x00", len(records)))
	b = append(b, records...)
	return append(b, make([]byte, -len(b)&511)...)
}

func record(key, value string) string {
	n := len(key) + len(value) + 3
	for s := ""; ; n++ {
		if s = fmt.Sprintf("%d %s=%s\n", n, key, value); len(s) == n {
			return s
		}
	}
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

var tarEnd = make([]byte, 1024)

// layerAttacks is the list of shared/design's chapter on unpacking, as whole images.
// canary is a directory outside the store, with a file "file" in it.
func layerAttacks(canary string) []attack {
	deep := strings.Repeat("d/", 1000)
	outside := strings.TrimPrefix(canary, "/")
	return []attack{
		ofLayer("name-leads-out", "leads out", tarOf(put("../../../../../../../../"+outside+"/new", "x"))),
		ofLayer("name-leads-out-later", "leads out", tarOf(put("a/../../b", "x"))),
		taken("absolute-name", outside+"/file", tarOf(put(canary+"/file", "overwritten"))),
		taken("through-absolute-link", outside+"/file", tarOf(to("l", canary), put("l/file", "overwritten"))),
		taken("through-links-to-links", outside+"/file", tarOf(to("l", "m"), to("m", "../../../../../../../../../../.."+canary), put("l/file", "overwritten"))),
		taken("link-replaced", "l", tarOf(to("l", canary+"/file"), put("l", "not through it"))),
		ofLayer("hard-link-out", "does not exist", tarOf(hard("h", canary+"/file"))),
		ofLayer("hard-link-leads-out", "leads out", tarOf(hard("h", "../../../.."+canary+"/file"))),
		ofLayer("hard-link-through-link", "does not exist", tarOf(to("l", canary), hard("h", "l/file"))),
		ofLayer("hard-link-to-directory", "directory", tarOf(put("d/", ""), hard("h", "d"))),
		ofLayer("link-circle", "symbolic links", tarOf(to("a", "b"), to("b", "a"), put("a/x", ""))),
		ofLayer("whiteout-of-dotdot", "names no file", tarOf(put("d/.wh...", ""))),
		ofLayer("whiteout-of-dot", "names no file", tarOf(put(".wh..", ""))),
		ofLayer("whiteout-of-nothing", "names no file", tarOf(put(".wh.", ""))),
		ofLayer("whiteout-of-whiteout", "whiteout", tarOf(put(".wh..wh.x", ""))),
		ofLayer("whiteout-as-directory", "whiteout", tarOf(put(".wh.d/x", ""))),
		ofLayer("overlay-attribute", "overlay", tarOf(marked("d/", "trusted.overlay.redirect", canary))),
		ofLayer("overlay-user-attribute", "overlay", tarOf(marked("d/", "user.overlay.opaque", "y"))),
		ofLayer("device-0-0", "0:0", tarOf(node("d", tar.TypeChar))),
		ofLayer("huge-attribute", "attribute", tarOf(marked("f", "user.x", strings.Repeat("v", 900<<10)))),
		ofLayer("malformed-capability", "capabilities", tarOf(marked("f", "security.capability", "rubbish"))),
		ofLayer("file-as-directory", "not a directory", tarOf(put("f", ""), put("f/x", ""))),
		ofLayer("root-as-link", "root of a layer", tarOf(to(".", canary))),
		ofLayer("owner-out-of-range", "owner", join(pax(record("uid", "4294967295")), rawHeader("f", '0', "00000000000\x00"), tarEnd)),
		ofLayer("name-with-nul", "NUL|header", join(pax("18 path=a\x00bcdefgh\n"), rawHeader("f", '0', "00000000000\x00"), tarEnd)),
		ofLayer("unknown-type", "type", join(rawHeader("f", 'V', "00000000000\x00"), tarEnd)),
		ofLayer("name-too-long", "name", tarOf(put(strings.Repeat("n", 300), ""))),
		ofLayer("thousands-deep", "deep", tarOf(put(strings.Repeat("d/", 2000)+"f", ""))),
		ofLayer("path-too-long", "bytes, the most", tarOf(put(strings.Repeat("d/", 3000)+"f", ""))),
		taken("a-thousand-deep", deep+"f", tarOf(put(deep+"f", ""))),
		ofLayer("size-2^63", "bytes", join(rawHeader("f", '0', base256), tarEnd)),
		ofLayer("size-without-data", "ends too early", join(rawHeader("f", '0', "00077777777\x00"), tarEnd)),
		ofLayer("size-far-from-the-blob", "times as large", join(rawHeader("f", '0', "77777777777\x00"), tarEnd)),
		ofLayer("pax-size-2^63", "bytes", join(pax(record("size", "9223372036854775807")), rawHeader("f", '0', "00000000000\x00"), tarEnd)),
		ofLayer("pax-of-hundreds-of-megabytes", "long|large|ends", join(rawHeader("PaxHeaders", 'x', "02000000000\x00"), []byte(record("comment", strings.Repeat("c", 4<<20))))),
		ofLayer("gnu-name-of-megabytes", "long|large", join(rawHeader("././@LongLink", 'L', "00040000000\x00"), bytes.Repeat([]byte("n"), 8<<20), tarEnd)),
		ofLayer("sparse-of-2^62", "bytes", join(pax(record("GNU.sparse.major", "1")+record("GNU.sparse.minor", "0")+record("GNU.sparse.name", "s")+record("GNU.sparse.realsize", "4611686018427387904")),
			rawHeader("s", '0', "00000001000\x00"), append([]byte("1\n0\n0\n"), make([]byte, 506)...), tarEnd)),
		ofLayer("sparse-overlapping", "sparse|header", join(pax(record("GNU.sparse.major", "1")+record("GNU.sparse.minor", "0")+record("GNU.sparse.name", "s")+record("GNU.sparse.realsize", "4096")),
			rawHeader("s", '0', "00000003000\x00"), append([]byte("2\n0\n1024\n512\n1024\n"), make([]byte, 493+1024)...), tarEnd)),
		ofLayer("sparse-map-without-end", "sparse|header|long", join(pax(record("GNU.sparse.major", "1")+record("GNU.sparse.minor", "0")+record("GNU.sparse.name", "s")+record("GNU.sparse.realsize", "4096")),
			rawHeader("s", '0', "00100000000\x00"), []byte("99999999\n"), bytes.Repeat([]byte("0\n0\n"), 4<<20), tarEnd)),
		ofLayer("garbage", "header", bytes.Repeat([]byte("garbage!"), 300)),
		{name: "garbage-after-gzip", refuse: "gzip|header|compressed", image: func(h *hostile, repo string) {
			l := layer(tarOf(put("f", "x")))
			l.body = append(l.body, "this is no member of a gzip stream"...)
			h.image(repo, l)
		}},
		{name: "xz", refuse: "compressed with xz", image: func(h *hostile, repo string) {
			h.image(repo, blob{body: []byte("\xfd7zXZ\x00 and so on")})
		}},
		{name: "another-diff-id", refuse: "built wrongly or tampered", image: func(h *hostile, repo string) {
			l := layer(tarOf(put("f", "x")))
			l.diffID = digestOf([]byte("another"))
			h.image(repo, l)
		}},
	}
}

// squeezed is the gzip layer of a tar that is written without holding it, compressed.
func squeezed(write func(w io.Writer)) blob {
	var packed bytes.Buffer
	sum := newSum()
	z := newFastGzip(&packed)
	write(io.MultiWriter(z, sum))
	if err := z.Close(); err != nil {
		panic(err)
	}
	return blob{body: packed.Bytes(), diffID: sum.digest()}
}

// many repeats the entries of a tar, and ends it.
func many(n int, entries []byte) blob {
	entries = entries[:len(entries)-len(tarEnd)]
	per := max(1, 1<<20/len(entries))
	chunk := bytes.Repeat(entries, per)
	return squeezed(func(w io.Writer) {
		for ; n > 0; n -= per {
			_, _ = w.Write(chunk[:len(entries)*min(n, per)])
		}
		_, _ = w.Write(tarEnd)
	})
}

// bombs take little to send and much to unpack, in bytes, entries or memory.
func bombs() []attack {
	long := strings.Repeat(strings.Repeat("n", 250)+"/", 15)
	return []attack{
		{name: "gzip-bomb", wanted: "zeros", image: func(h *hostile, repo string) {
			h.image(repo, squeezed(func(w io.Writer) { // a thousand to one: as much as gzip can
				_, _ = w.Write(rawHeader("zeros", '0', "03000000000\x00"))
				zero := make([]byte, 1<<20)
				for range 384 {
					_, _ = w.Write(zero)
				}
				_, _ = w.Write(tarEnd)
			}))
		}},
		{name: "gzip-bomb-behind-the-end", refuse: "", image: func(h *hostile, repo string) {
			h.image(repo, squeezed(func(w io.Writer) {
				_, _ = w.Write(tarEnd)
				zero := make([]byte, 1<<20)
				for range 512 {
					_, _ = w.Write(zero)
				}
			}))
		}},
		{name: "zstd-bomb", refuse: "times as large", image: func(h *hostile, repo string) {
			h.image(repo, blob{body: rle(20_000, 23), diffID: digestOf(nil), mediaType: layerType + "+zstd"})
		}},
		{name: "zstd-window", refuse: "window", image: func(h *hostile, repo string) {
			h.image(repo, blob{body: rle(1, 31), diffID: digestOf(nil), mediaType: layerType + "+zstd"})
		}},
		{name: "zstd-wide-windows", image: wideWindows},
		{name: "entries-of-nothing", image: func(h *hostile, repo string) {
			h.image(repo, many(1_100_000, tarOf(put(".wh..wh.plnk/x", ""))))
		}},
		{name: "one-directory-again-and-again", wanted: "d", image: func(h *hostile, repo string) {
			h.image(repo, many(100_000, tarOf(put("d/", ""))))
		}},
		{name: "long-directory-again-and-again", image: func(h *hostile, repo string) {
			h.image(repo, many(60_000, tarOf(put(long, ""))))
		}},
		{name: "long-directories-without-entries", image: func(h *hostile, repo string) {
			h.image(repo, squeezed(func(w io.Writer) {
				entry := tarOf(put(long+"NUMBER/f", ""))
				entry = entry[:len(entry)-len(tarEnd)]
				for i := range 4000 {
					_, _ = w.Write(bytes.ReplaceAll(entry, []byte("NUMBER"), fmt.Appendf(nil, "%06d", i)))
				}
				_, _ = w.Write(tarEnd)
			}))
		}},
	}
}

// rle is a zstd frame of n blocks of 128 KiB of zeros each, four bytes a block,
// with a window of 2^log bytes.
func rle(n int, log byte) []byte {
	out := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, (log - 10) << 3}
	for i := range n {
		head := uint32(128<<10)<<3 | 1<<1
		if i == n-1 {
			head |= 1
		}
		out = append(out, byte(head), byte(head>>8), byte(head>>16), 0)
	}
	return out
}

// wideWindows has layers whose decoders want 128 MiB of memory each, and more of
// them than would fit.
func wideWindows(h *hostile, repo string) {
	var layers []blob
	for i := range 3 {
		plain := tarOf(image.File{Name: fmt.Sprintf("f%d", i), Mode: 0o644, Body: make([]byte, 140<<20)})
		e, err := zstd.NewWriter(nil, zstd.WithWindowSize(128<<20), zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err != nil {
			panic(err)
		}
		var packed bytes.Buffer
		e.Reset(&packed)
		_, _ = e.Write(plain)
		_ = e.Close()
		layers = append(layers, blob{body: packed.Bytes(), plain: plain, mediaType: layerType + "+zstd"}.filled())
		layers[i].plain = nil
	}
	h.image(repo, layers...)
}

// holds demands that one of the layers has a path.
func holds(t *testing.T, diffs []string, path string) {
	t.Helper()
	for _, d := range diffs {
		if _, err := os.Lstat(filepath.Join(d, path)); err == nil {
			return
		}
	}
	t.Errorf("no layer holds %s", path)
}
