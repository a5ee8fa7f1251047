package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

func kindOf(t testing.TB, err error) Kind {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%T is not an *Error: %v", err, err)
	}
	if e.Error() == "" {
		t.Error("it says nothing")
	}
	return e.Kind
}

func empty(t testing.TB, dir string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	must(t, err)
	for _, f := range list {
		t.Errorf("%s is left", f.Name())
	}
}

// hostile is the corpus: archives that are refused, by the kind of the refusal.
type hostile struct {
	name   string
	stream []byte
	want   Kind
}

// dockerOf is an archive with this manifest.json, and a good image c of the layer l.
func dockerOf(t testing.TB, manifest string, more ...entry) []byte {
	l := layerOf(t, "l")
	return tarOf(t, append([]entry{put("c", configOf("linux/amd64", l)), put("l", l), put(manifestName, manifest)}, more...)...)
}

// layoutOf is an archive with one descriptor and these blobs.
func layoutOf(t testing.TB, d descriptor, blobs ...string) []byte {
	entries := []entry{put(layoutName, layoutText), put(indexName, indexOf(d))}
	for _, b := range blobs {
		entries = append(entries, blobOf(b))
	}
	return tarOf(t, entries...)
}

// oneImage is a layout of an image whose manifest and config are given.
func oneImage(t testing.TB, manifest, config string, blobs ...string) []byte {
	return layoutOf(t, descriptorOf(ociManifest, manifest), append(blobs, manifest, config)...)
}

func corpus(t testing.TB) []hostile {
	const good = `[{"Config":"c","RepoTags":["x:1"],"Layers":["l"]}]`
	l := layerOf(t, "l")
	c := configOf("linux/amd64", l)
	m := manifestOf(c, ociLayer, l)
	named := descriptorOf(ociManifest, m)
	named.Annotations.Image = "redis@" + digestOf([]byte("another"))
	wrongSize := descriptorOf(ociManifest, m)
	wrongSize.Size++
	sha512 := descriptorOf(ociManifest, m)
	sha512.Digest = "sha512:" + strings.Repeat("a", 128)
	path := descriptorOf(ociManifest, m)
	path.Digest = "sha256:../../../../etc/passwd"
	nested := indexOf(descriptorOf(ociManifest, m))
	deep := []string{m, c, l, nested}
	for range maxNesting + 2 {
		nested = indexOf(descriptorOf(ociIndex, nested))
		deep = append(deep, nested)
	}
	both := jsonOf(map[string]any{"config": descriptorOf(ociConfig, c), "layers": []descriptor{}, "manifests": []descriptor{}})
	chart := jsonOf(map[string]any{"config": descriptorOf("application/vnd.cncf.helm.config.v1+json", c), "layers": []descriptor{}})
	big := c + strings.Repeat(" ", maxDocument)
	long := func(name string) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Format: tar.FormatPAX}), w.Close())
		return b.Bytes()
	}
	return []hostile{
		{"nothing", nil, Unsupported},
		{"not a tar", []byte(strings.Repeat("hello, world", 200)), Unsupported},
		{"a few words", []byte("hello\n"), Unsupported},
		{"xz", []byte("\xfd7zXZ\x00 and so on"), Unsupported},
		{"bzip2", []byte("BZh91AY&SY"), Unsupported},
		{"another tar", tarOf(t, put("README", "hello")), Unsupported},
		{"before Docker 1.10", tarOf(t, put("1/layer.tar", l), put(repositoriesName, "{}")), Unsupported},
		{"damaged gzip", append([]byte(gzipped(t, strings.Repeat("x", 5000)))[:20], "rubbish"...), Corrupt},
		{"leading out", dockerOf(t, good, put("../../etc/cron.d/x", "x")), Hostile},
		{"leading out by a link", dockerOf(t, good, symlink("a/b", "../../etc/passwd")), Hostile},
		{"leading out by an absolute link", dockerOf(t, good, symlink("l", "/etc/passwd")), Hostile},
		{"leading out by a hard link", dockerOf(t, good, hardlink("l", "../etc/passwd")), Hostile},
		{"a circle of links", dockerOf(t, good, symlink("l", "m"), symlink("m", "l")), Hostile},
		{"a link to itself", dockerOf(t, good, symlink("c", "c")), Hostile},
		{"a link to nothing", dockerOf(t, good, symlink("l", "nothing")), Corrupt},
		{"a device", dockerOf(t, good, entry{name: "l", kind: tar.TypeChar}), Unsupported},
		{"a fifo", dockerOf(t, good, entry{name: "l", kind: tar.TypeFifo}), Unsupported},
		{"a name too long", long(strings.Repeat("n/", 3000) + "n"), TooLarge},
		{"config leads out", dockerOf(t, `[{"Config":"../../etc/passwd","Layers":["l"]}]`), Hostile},
		{"layer leads out", dockerOf(t, `[{"Config":"c","Layers":["/../etc/passwd"]}]`), Hostile},
		{"no config", dockerOf(t, `[{"Layers":["l"]}]`), Corrupt},
		{"layer missing", dockerOf(t, `[{"Config":"c","Layers":["m"]}]`), Corrupt},
		{"one layer too many", dockerOf(t, `[{"Config":"c","Layers":["l","l"]}]`), Corrupt},
		{"another layer", dockerOf(t, `[{"Config":"c","Layers":["c"]}]`), Corrupt},
		{"bad name", dockerOf(t, `[{"Config":"c","RepoTags":["../x"],"Layers":["l"]}]`), Corrupt},
		{"another's digest", dockerOf(t, `[{"Config":"c","RepoTags":["redis@`+named.Annotations.Image[len("redis@"):]+`"],"Layers":["l"]}]`), Hostile},
		{"an object for a list", dockerOf(t, `{"Config":"c"}`), Corrupt},
		{"not JSON", dockerOf(t, `[{"Config":`), Corrupt},
		{"no images", dockerOf(t, `[]`), Unsupported},
		{"too many layers", dockerOf(t, `[{"Config":"c","Layers":[`+strings.Repeat(`"l",`, maxLayers)+`"l"]}]`), TooLarge},
		{"an xz layer", dockerOf(t, `[{"Config":"c","Layers":["x"]}]`, put("x", "\xfd7zXZ\x00 and so on")), Unsupported},
		{"a bzip2 layer", dockerOf(t, `[{"Config":"c","Layers":["x"]}]`, put("x", "BZh91AY&SY")), Unsupported},
		{"far too many layers", dockerOf(t, `[{"Config":"c","Layers":[`+strings.Repeat(`"l",`, 1<<20-50)+`"l"]}]`), TooLarge},
		{"too many images", dockerOf(t, `[`+strings.Repeat(`{},`, maxList)+`{}]`), TooLarge},
		{"too many names", dockerOf(t, `[{"Config":"c","Layers":["l"],"RepoTags":[`+strings.Repeat(`"a",`, maxList)+`"a"]}]`), TooLarge},
		{"manifest.json too large", dockerOf(t, good+strings.Repeat(" ", maxDocument)), TooLarge},
		{"config too large", tarOf(t, put("c", big), put("l", l), put(manifestName, good)), TooLarge},
		{"config not JSON", tarOf(t, put("c", "\x00"), put("l", l), put(manifestName, good)), Corrupt},
		{"deep JSON", dockerOf(t, strings.Repeat("[", 1<<20)), Corrupt},
		{"blob of another digest", tarOf(t, put(blobsName+strings.Repeat("a", 64), "x")), Corrupt},
		{"layout of version 2", tarOf(t, put(layoutName, `{"imageLayoutVersion":"2.0.0"}`), put(indexName, "{}")), Unsupported},
		{"empty index", tarOf(t, put(layoutName, layoutText), put(indexName, "{}")), Unsupported},
		{"manifest missing", layoutOf(t, descriptorOf(ociManifest, m)), Corrupt},
		{"config missing", layoutOf(t, descriptorOf(ociManifest, m), m, l), Corrupt},
		{"layer of a layout missing", layoutOf(t, descriptorOf(ociManifest, m), m, c), Corrupt},
		{"wrong size", layoutOf(t, wrongSize, m, c, l), Corrupt},
		{"sha512", layoutOf(t, sha512, m, c, l), Unsupported},
		{"a path for a digest", layoutOf(t, path, m, c, l), Unsupported},
		{"name with another digest", layoutOf(t, named, m, c, l), Hostile},
		{"nested too deep", layoutOf(t, descriptorOf(ociIndex, nested), deep...), TooLarge},
		{"index and manifest at once", layoutOf(t, descriptorOf(ociManifest, both), both, c), Hostile},
		{"another media type", layoutOf(t, descriptorOf(dockerManifest, m), m, c, l), Corrupt},
		{"a chart", layoutOf(t, descriptorOf(ociManifest, chart), chart, c), Unsupported},
		{"no config at all", layoutOf(t, descriptorOf(ociManifest, "{}"), "{}"), Corrupt},
		{"a layer of another kind", oneImage(t, manifestOf(c, "application/x-squashfs", l), c, l), Unsupported},
		{"a diff ID that is none", oneImage(t, manifestOf(`{"rootfs":{"diff_ids":["sha256:x"]}}`, ociLayer, l), `{"rootfs":{"diff_ids":["sha256:x"]}}`, l), Corrupt},
		{"another diff ID", oneImage(t, manifestOf(configOf("linux/amd64", "x"), ociLayer, l), configOf("linux/amd64", "x"), l), Corrupt},
		{"a platform to break terminals", oneImage(t, manifestOf(configOf("\x1b[2J/amd64", l), ociLayer, l), configOf("\x1b[2J/amd64", l), l), Corrupt},
		{"the same index again and again", manifold(t), TooLarge},
		{"sparse file", sparseArchive(t), Unsupported},
	}
}

// manifold is a layout whose few small indexes lead to ten thousand million visits
// of something that is no image.
func manifold(t testing.TB) []byte {
	c := configOf("linux/amd64")
	chart := jsonOf(map[string]any{"config": descriptorOf("application/x-chart", c), "layers": []descriptor{}})
	blobs := []string{c, chart}
	d := descriptorOf(ociManifest, chart)
	for range 5 {
		many := make([]descriptor, 100)
		for i := range many {
			many[i] = d
		}
		text := indexOf(many...)
		blobs = append(blobs, text)
		d = descriptorOf(ociIndex, text)
	}
	return layoutOf(t, d, blobs...)
}

// sparseArchive claims 8 EiB of zeros in the form that GNU tar writes.
func sparseArchive(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	// Go writes no sparse files; a PAX header with these records makes one.
	records := "GNU.sparse.major=1\nGNU.sparse.minor=0\nGNU.sparse.name=l\nGNU.sparse.realsize=9000000000000000000\n"
	var pax strings.Builder
	for line := range strings.Lines(records) {
		size := len(line) + 3
		pax.WriteString(fmt.Sprintf("%d %s", size, line))
	}
	h := make([]byte, 512)
	copy(h, "PaxHeaders/l")
	raw(h, 'x', pax.Len())
	b.Write(h)
	b.WriteString(pax.String())
	b.Write(make([]byte, (512-pax.Len()%512)%512))
	body := "0\n" + strings.Repeat("\x00", 510)
	h = make([]byte, 512)
	copy(h, "l")
	raw(h, '0', len(body))
	b.Write(h)
	b.WriteString(body)
	b.Write(make([]byte, 1024))
	return b.Bytes()
}

// raw fills in a tar header's fields.
func raw(h []byte, kind byte, size int) {
	copy(h[100:], "0000644\x00")
	copy(h[108:], "0000000\x00")
	copy(h[116:], "0000000\x00")
	copy(h[124:], fmt.Sprintf("%011o\x00", size))
	copy(h[136:], "00000000000\x00")
	h[156] = kind
	copy(h[257:], "ustar\x0000")
	copy(h[148:], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
}

func TestHostile(t *testing.T) {
	for _, c := range corpus(t) {
		t.Run(c.name, func(t *testing.T) {
			_, err := load(t, c.stream, LoadOptions{})
			if err == nil {
				t.Fatal("it was loaded")
			}
			if kindOf(t, err) != c.want {
				t.Errorf("got %v: %v, want %v", kindOf(t, err), err, c.want)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	stream := tarOf(t, oldDocker(t, symlink, "../1111/layer.tar")...)
	for _, l := range []Limits{{Bytes: 5000}, {Entries: 5}} {
		if _, err := load(t, stream, LoadOptions{Limits: l}); kindOf(t, err) != TooLarge {
			t.Errorf("%+v: %v", l, err)
		}
	}
	for n, want := range map[int64]bool{ratioFloor / 100: true, ratioFloor/100 - 100: false} {
		bomb := &output{r: strings.NewReader("more"), n: ratioFloor, in: &input{n: n}, limits: Limits{Bytes: 1 << 40, Ratio: 100}}
		if _, err := bomb.Read(make([]byte, 10)); (err == nil) != want {
			t.Errorf("%d bytes of %d: %v", n, ratioFloor, err)
		}
	}
}

// FuzzLoad: whatever comes, the directory holds the images' layers or nothing, and
// errors are typed; load checks that.
func FuzzLoad(f *testing.F) {
	for _, c := range corpus(f) {
		if len(c.stream) < 1<<16 {
			f.Add(c.stream)
		}
	}
	f.Add(tarOf(f, oldDocker(f, symlink, "../1111/layer.tar")...))
	f.Add(tarOf(f, platforms(f, "linux/arm64", "linux/amd64")...))
	f.Fuzz(func(t *testing.T, stream []byte) {
		_, _ = load(t, stream, LoadOptions{Limits: Limits{Bytes: 8 << 20}})
	})
}
