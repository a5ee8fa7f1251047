package tests

import (
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// leastMemory is what a layer may take the daemon to, whatever its size.
const leastMemory = 100_000_000

// largeBytes is the size of a large layer: two gigabytes, where the time is given.
func largeBytes() int64 {
	if os.Getenv("HULL_TEST_FULL") == "1" {
		return 2 << 30
	}
	return 320 << 20
}

// TestLargeLayer pulls layers as large as machine-learning images have them, and
// demands that the daemon stays small.
func TestLargeLayer(t *testing.T) {
	needs(t)
	v, h := newVictim(t), newHostile(t)
	v.look(t)
	size := largeBytes()
	for _, c := range []struct {
		name     string
		compress func(io.Writer) io.WriteCloser
	}{
		{"gzip", func(w io.Writer) io.WriteCloser {
			z, err := gzip.NewWriterLevel(w, gzip.NoCompression)
			if err != nil {
				panic(err)
			}
			return z
		}},
		{"zstd", func(w io.Writer) io.WriteCloser {
			z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(8<<20))
			if err != nil {
				panic(err)
			}
			return z
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			packed, plain := newSum(), newSum()
			n := &counter{}
			writeLarge(c.compress(io.MultiWriter(packed, n)), plain, size)
			h.image("large", blob{
				stream: func(w io.Writer) { writeLarge(c.compress(w), io.Discard, size) },
				digest: packed.digest(), size: n.n, diffID: plain.digest(), mediaType: layerType + "+" + c.name,
			})
			v.forget(t)
			if s, _ := v.pull(t, h.addr+"/large:1"); s != "" {
				t.Fatal(s)
			}
			peak := v.peak(t)
			t.Logf("%d MB for a layer of %d MB", peak/1e6, size/1e6)
			if peak > leastMemory {
				t.Errorf("the daemon took %d bytes for a layer of %d", peak, size)
			}
			st, err := os.Stat(filepath.Join(v.diffs(t)[0], "large"))
			if err != nil || st.Size() != size {
				t.Errorf("the file is %v, %v", st, err)
			}
			v.drop(t, h.addr+"/large:1")
			v.unhurt(t)
		})
	}
}

type counter struct{ n int64 }

func (c *counter) Write(b []byte) (int, error) { c.n += int64(len(b)); return len(b), nil }

// writeLarge writes a layer of one file, half of it zeros and half of it not, to a
// compressor and, as it is, to plain.
func writeLarge(z io.WriteCloser, plain io.Writer, size int64) {
	w := io.MultiWriter(z, plain)
	head := rawHeader("large", '0', fmt.Sprintf("%011o\x00", size))
	chunk := make([]byte, 1<<20)
	x := uint64(1)
	_, err := w.Write(head)
	for done := int64(0); done < size && err == nil; done += int64(len(chunk)) {
		for i := 0; i < len(chunk)/2; i += 8 {
			x = x*6364136223846793005 + 1442695040888963407
			binary.LittleEndian.PutUint64(chunk[i:], x^x>>32)
		}
		_, err = w.Write(chunk)
	}
	if err == nil {
		_, err = w.Write(tarEnd)
	}
	if err == nil { // else the client has had enough
		_ = z.Close()
	}
}
