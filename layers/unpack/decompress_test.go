package unpack

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstandard(t testing.TB, b []byte, o ...zstd.EOption) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, o...)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

func TestDecompress(t *testing.T) {
	plain := bytes.Repeat([]byte("a layer of an image. "), 50000)
	half := len(plain) / 2
	chunked := append([]byte{0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4}, zstandard(t, plain)...)
	// A frame that claims a window of 2 GiB (window log 31), and one raw block.
	window := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, (31 - 10) << 3, 0x09, 0x00, 0x00, 'x'}
	for _, c := range []struct {
		name string
		blob []byte
		kind Kind
		want []byte
	}{
		{"plain", plain, -1, plain},
		{"nothing", nil, -1, nil},
		{"short", []byte("x"), -1, []byte("x")},
		{"gzip", gzipped(t, plain), -1, plain},
		{"gzip of nothing", gzipped(t, nil), -1, nil},
		{"gzip of several members", append(gzipped(t, plain[:half]), gzipped(t, plain[half:])...), -1, plain},
		{"gzip cut", gzipped(t, plain)[:2000], Corrupt, nil},
		{"gzip cut in the header", gzipped(t, plain)[:5], Corrupt, nil},
		{"gzip with a wrong sum", flip(gzipped(t, plain), -6), Corrupt, nil},
		{"gzip and garbage", append(gzipped(t, plain), "garbage after the stream"...), Corrupt, nil},
		{"zstd", zstandard(t, plain), -1, plain},
		{"zstd of several frames", append(zstandard(t, plain[:half]), zstandard(t, plain[half:])...), -1, plain},
		{"zstd after a skippable frame", chunked, -1, plain},
		{"zstd cut", zstandard(t, plain)[:40], Corrupt, nil},
		{"zstd with a wrong sum", flip(zstandard(t, plain), -1), Corrupt, nil},
		{"xz", []byte("\xfd7zXZ\x00 and so on"), Corrupt, nil},
		{"zstd with a huge window", window, TooLarge, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Decompress(bytes.NewReader(c.blob), Decoder{})
			var got []byte
			if err == nil {
				got, err = io.ReadAll(r)
				r.Close()
			}
			if c.kind < 0 {
				if err != nil || !bytes.Equal(got, c.want) {
					t.Errorf("%d bytes, %v; want %d", len(got), err, len(c.want))
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) || e.Kind != c.kind {
				t.Errorf("got %v, want kind %q", err, c.kind)
			}
		})
	}
}

func flip(b []byte, i int) []byte {
	b[len(b)+i] ^= 0xff
	return b
}

// TestDecompressSource: a broken connection is not a damaged layer.
func TestDecompressSource(t *testing.T) {
	broken := errors.New("the connection broke")
	plain := make([]byte, 4<<20)
	for i := range plain {
		plain[i] = byte(i * i >> 7)
	}
	for name, blob := range map[string][]byte{"gzip": gzipped(t, plain), "zstd": zstandard(t, plain), "plain": plain} {
		for _, keep := range []int{0, 2, 5, len(blob) / 2} {
			r, err := Decompress(io.MultiReader(bytes.NewReader(blob[:keep]), failing{broken}), Decoder{})
			if err == nil {
				_, err = io.Copy(io.Discard, r)
				r.Close()
			}
			if !errors.Is(err, broken) {
				t.Errorf("%s, %d bytes: got %v", name, keep, err)
			}
		}
	}
}
