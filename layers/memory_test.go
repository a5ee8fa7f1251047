package layers

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"hull/layers/unpack"
)

// windowed is a zstd layer whose stream asks for a window of 2^log bytes.
type windowed struct{ plain, packed []byte }

func windowedLayer(t testing.TB, log byte, files ...file) windowed {
	plain := tarOf(t, files...)
	out := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, (log - 10) << 3}
	for rest := plain; len(rest) > 0; { // blocks without compression
		n := min(len(rest), 64<<10)
		head := n << 3
		if n == len(rest) {
			head |= 1
		}
		out = append(append(out, byte(head), byte(head>>8), byte(head>>16)), rest[:n]...)
		rest = rest[n:]
	}
	return windowed{plain, out}
}

func hashOf(b []byte) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sha256.Sum256(b))}
}

func (l windowed) Digest() (v1.Hash, error) { return hashOf(l.packed), nil }
func (l windowed) DiffID() (v1.Hash, error) { return hashOf(l.plain), nil }
func (l windowed) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.packed)), nil
}

func (l windowed) Uncompressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.plain)), nil
}
func (l windowed) Size() (int64, error)                { return int64(len(l.packed)), nil }
func (l windowed) MediaType() (types.MediaType, error) { return types.OCILayerZStd, nil }

// Layers that want memory wait for each other, and for layers below them, and never
// in a circle: the lowest comes last here, and each of the others links into it.
func TestMemoryIsShared(t *testing.T) {
	needRoot(t)
	for name, log := range map[string]byte{"usual windows": 23, "wide windows": 27} {
		t.Run(name, func(t *testing.T) {
			r := newRegistry(t)
			base := windowedLayer(t, log, file{name: "f", content: noise(1, 1000)})
			all := []v1.Layer{base}
			for i := range 9 {
				all = append(all, windowedLayer(t, log, file{name: fmt.Sprintf("l%d", i), link: "f"},
					file{name: fmt.Sprintf("own%d", i), content: noise(uint64(i), 4<<20)}, // more than is read ahead
					file{name: "d/x", content: "a directory without an entry"}))
			}
			img := imageOf(t, all...)
			r.push(t, "acme/windows:1", img)
			limit := debug.SetMemoryLimit(-1)
			gate := make(chan struct{})
			lowest := digestOf(t, base)
			r.setBlob(func(digest string) blobFault {
				if digest == lowest {
					return blobFault{wait: gate}
				}
				return blobFault{}
			})
			s := openStore(t, t.TempDir(), Options{Downloads: 20})
			if err := s.Pull(t.Context(), r.ref("acme/windows:1"), PullOptions{}); err != nil {
				t.Fatal(err)
			}
			// Eight at once: the lowest and seven more.
			await(t, "the layers above", func() bool {
				for _, l := range all[1:8] {
					size, _ := l.Size()
					if r.bytesOf(digestOf(t, l)) < size {
						return false
					}
				}
				return true
			})
			close(gate)
			if err := s.Wait(t.Context(), r.ref("acme/windows:1")); err != nil {
				t.Fatal(err)
			}
			if !s.memory.left.TryAcquire(unpackMemory) {
				t.Error("some memory was not given back")
			}
			if now := debug.SetMemoryLimit(-1); now != limit {
				t.Errorf("the heap's limit is %d, and was %d", now, limit)
			}
			s.memory.left.Release(unpackMemory)
			flaws, err := s.Check(t.Context(), func(line string) { t.Log(line) })
			if flaws > 0 || err != nil {
				t.Errorf("%d flaws, %v", flaws, err)
			}
		})
	}
}

// A stream that wants more than anybody gets is refused.
func TestTooWide(t *testing.T) {
	needRoot(t)
	r := newRegistry(t)
	r.push(t, "acme/wide:1", imageOf(t, windowedLayer(t, 28, file{name: "f", content: "x"})))
	s := openStore(t, t.TempDir(), Options{})
	err := pullNow(t, s, r.ref("acme/wide:1"))
	wantKind(t, err, TooLarge)
	if !errors.Is(err, unpack.ErrWindow) || !strings.Contains(err.Error(), "128 MiB") {
		t.Errorf("the reason is %v", err)
	}
}

// A config that lists things without end is refused before it is taken apart.
func TestConfigOfManyValues(t *testing.T) {
	for text, want := range map[string]bool{
		`{"history":[` + strings.Repeat("{},", 100) + `{}]}`:       true,
		`{"history":[` + strings.Repeat("{},", maxValues) + `{}]}`: false,
		`{"author":"` + strings.Repeat(`{,[\"`, maxValues) + `"}`:  true,
		`{"config":{"Volumes":{` + many(maxValues) + `"x":{}}}}`:   false,
	} {
		if _, err := parseConfig([]byte(text)); (err == nil) != want {
			t.Errorf("%.60s: %v", text, err)
		}
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "\"%d\":{},", i)
	}
	return b.String()
}
