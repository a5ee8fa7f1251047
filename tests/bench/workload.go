package main

import (
	"archive/tar"
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"

	"hull/tests/image"
)

// size is how much there is of everything. The content of the images that are
// pulled and browsed is made from a seed, the same everywhere.
type size struct {
	image int64 // bytes of the image of six layers
	files int   // of the image of small files
	layer int64 // bytes of the image of one layer

	log     int64         // bytes of output
	burst   int           // containers at once
	running [3]int        // containers that run while others are started
	sustain time.Duration // how long containers are started one after the other

	crowd, peers   int           // containers that sleep, of hull's and of the peers'
	watch          time.Duration // how long they are looked at
	listed, walked int           // containers that have ended
	rest           time.Duration // until memory has been given back
}

var (
	fullSize = size{
		image: 220e6, files: 100_000, layer: 2e9, log: 200e6, burst: 100, running: [3]int{1, 100, 500}, sustain: time.Minute,
		crowd: 1000, peers: 50, watch: time.Minute, listed: 1000, walked: 10_000, rest: 30 * time.Second,
	}
	quickSize = size{
		image: 60e6, files: 10_000, layer: 200e6, log: 50e6, burst: 100, running: [3]int{1, 50, 200}, sustain: 5 * time.Second,
		crowd: 200, peers: 10, watch: 10 * time.Second, listed: 200, walked: 1000, rest: 15 * time.Second,
	}
)

// The images, by what they are called in the registry.
const (
	imageOfLayers = "bench/layers:1"
	imageOfFiles  = "bench/files:1"
	imageOfOne    = "bench/one:1"
)

// shares are how much of the six layers' bytes each has, as in images that stand
// on a distribution: a base, a language, packages, an application.
var shares = []float64{0.36, 0.28, 0.18, 0.1, 0.06, 0.02}

// makeImage makes an image unless the registry has it.
func (s *setting) makeImage(name string) error {
	if s.made[name] {
		return nil
	}
	var layers []v1.Layer
	add := func(fill func(*writer) error) error {
		l, err := s.makeLayer(uint64(len(layers)+1), fill)
		layers = append(layers, l)
		return err
	}
	var err error
	switch name {
	case imageOfLayers:
		for i, share := range shares {
			if err = add(func(w *writer) error { return w.mixed(i, int64(share*float64(s.size.image))) }); err != nil {
				return err
			}
		}
	case imageOfFiles:
		err = add(func(w *writer) error { return w.small(s.size.files) })
	case imageOfOne:
		err = add(func(w *writer) error { return w.large(s.size.layer) })
	}
	if err != nil {
		return err
	}
	img, err := image.Build(v1.Config{Cmd: []string{"true"}}, layers...)
	if err != nil {
		return err
	}
	s.made[name] = true
	return s.registry.add(name, img)
}

// makeLayer writes a layer's blob into the registry's directory.
func (s *setting) makeLayer(seed uint64, fill func(*writer) error) (v1.Layer, error) {
	blob, err := os.CreateTemp(s.registry.dir, "layer-")
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	packed, plain := sha256.New(), sha256.New()
	buffered := bufio.NewWriterSize(io.MultiWriter(blob, packed), 1<<20)
	z := gzip.NewWriter(buffered)
	w := newWriter(io.MultiWriter(z, plain), seed)
	if err := fill(w); err != nil {
		return nil, err
	}
	for _, end := range []func() error{w.tar.Close, z.Close, buffered.Flush} {
		if err := end(); err != nil {
			return nil, err
		}
	}
	info, err := blob.Stat()
	if err != nil {
		return nil, err
	}
	l := &layer{size: info.Size(), digest: hash(packed.Sum(nil)), diff: hash(plain.Sum(nil))}
	l.path = filepath.Join(s.registry.dir, l.digest.String())
	return l, os.Rename(blob.Name(), l.path)
}

func hash(sum []byte) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum)} }

// layer is one whose blob is in a file.
type layer struct {
	path         string
	size         int64
	digest, diff v1.Hash
}

func (l *layer) Digest() (v1.Hash, error)             { return l.digest, nil }
func (l *layer) DiffID() (v1.Hash, error)             { return l.diff, nil }
func (l *layer) Compressed() (io.ReadCloser, error)   { return os.Open(l.path) }
func (l *layer) Size() (int64, error)                 { return l.size, nil }
func (l *layer) MediaType() (types.MediaType, error)  { return types.DockerLayer, nil }
func (l *layer) Uncompressed() (io.ReadCloser, error) { return nil, fmt.Errorf("nobody needs it") }

// writer writes a layer's files. Half of their content is text of repeated phrases, a
// third is like machine code, the rest cannot be compressed: gzip makes 2.5 times
// less of it, as of the usual image.
type writer struct {
	tar     *tar.Writer
	rand    *rand.Rand
	phrases [][]byte
	codes   [][]byte
	scratch []byte
	dirs    map[string]bool
}

func newWriter(w io.Writer, seed uint64) *writer {
	out := &writer{tar: tar.NewWriter(w), rand: rand.New(rand.NewPCG(seed, 1)), dirs: map[string]bool{}}
	for range 1024 {
		out.phrases = append(out.phrases, out.made(10, 60, 26, 'a'))
		out.codes = append(out.codes, out.made(3, 24, 256, 0))
	}
	return out
}

// made makes a string of as many different bytes as said, from first on.
func (w *writer) made(least, most, different int, first byte) []byte {
	b := make([]byte, least+w.rand.IntN(most-least))
	for i := range b {
		b[i] = first + byte(w.rand.IntN(1+w.rand.IntN(different)))
	}
	return b
}

// mixed writes files of very different sizes, as programs and libraries have them.
func (w *writer) mixed(layer int, bytes int64) error {
	for i := 0; bytes > 0; i++ {
		n := int64(1) << (6 + w.rand.IntN(15)) // 64 bytes to 1 MiB
		n = min(bytes, n+w.rand.Int64N(n))
		bytes -= n
		if err := w.file(fmt.Sprintf("usr/lib/p%d/d%02d/f%d", layer, i/40, i), n); err != nil {
			return err
		}
	}
	return nil
}

// small writes files of up to 4 KiB, as sources and packages of scripts have them.
func (w *writer) small(count int) error {
	for i := range count {
		if err := w.file(fmt.Sprintf("srv/app/node_modules/m%03d/lib%d/f%d.js", i/200, i/20, i), w.rand.Int64N(4096)); err != nil {
			return err
		}
	}
	return nil
}

// large writes a few files of up to 100 MB.
func (w *writer) large(bytes int64) error {
	for i := 0; bytes > 0; i++ {
		n := min(bytes, 100e6)
		bytes -= n
		if err := w.file(fmt.Sprintf("opt/model/part%d", i), n); err != nil {
			return err
		}
	}
	return nil
}

// file writes one file, after the directories it lies in.
func (w *writer) file(path string, n int64) error {
	for i, c := range path {
		if dir := path[:i] + "/"; c == '/' && !w.dirs[dir] {
			w.dirs[dir] = true
			if err := w.tar.WriteHeader(&tar.Header{Name: dir, Mode: 0o755, Typeflag: tar.TypeDir, ModTime: image.Made}); err != nil {
				return err
			}
		}
	}
	h := &tar.Header{Name: path, Mode: 0o644, Size: n, Typeflag: tar.TypeReg, ModTime: image.Made}
	if strings.HasSuffix(path, "7") {
		h.Mode, h.Uid, h.Gid = 0o755, 33, 33
	}
	if err := w.tar.WriteHeader(h); err != nil {
		return err
	}
	for n > 0 {
		b := w.block()
		b = b[:min(n, int64(len(b)))]
		n -= int64(len(b))
		if _, err := w.tar.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// block makes the next 8 KiB of content.
func (w *writer) block() []byte {
	const length = 8 << 10
	b := w.scratch[:0]
	kind := w.rand.IntN(10)
	for len(b) < length {
		switch {
		case kind < 5:
			b = append(append(b, w.phrases[w.common()]...), ' ')
		case kind < 9:
			b = append(b, w.codes[w.common()]...)
		default:
			v := w.rand.Uint64()
			b = append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24), byte(v>>32), byte(v>>40), byte(v>>48), byte(v>>56))
		}
	}
	w.scratch = b
	return b[:length]
}

// common picks a low number more often than a high one.
func (w *writer) common() int { return w.rand.IntN(1 + w.rand.IntN(1+w.rand.IntN(len(w.codes)))) }
