package inflate

import (
	"bufio"
	"bytes"
	stdflate "compress/flate"
	stdgzip "compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
)

// contents are what is compressed for the tests: what matches of every distance and
// literals of every code's length come from.
func contents() map[string][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	all := map[string][]byte{
		"nothing": nil,
		"a byte":  {7},
		"zeros":   make([]byte, 300_000),
		"noise":   noise(r, 300_000),
	}
	for _, period := range []int{2, 3, 5, 7, 8, 9, 15, 16, 17, 255, 32767, 32768, 32769} {
		all[fmt.Sprintf("period %d", period)] = bytes.Repeat(noise(r, period), 100_000/period+2)
	}
	// Bytes whose frequencies fall by the golden ratio have the longest codes.
	var skewed []byte
	for i, n := 0, 1.0; i < 24; i, n = i+1, n*1.6 {
		skewed = append(skewed, bytes.Repeat([]byte{byte(i)}, int(n))...)
	}
	r.Shuffle(len(skewed), func(i, j int) { skewed[i], skewed[j] = skewed[j], skewed[i] })
	all["skewed"] = skewed
	var words [][]byte
	for range 500 {
		words = append(words, noise(r, 2+r.IntN(300)))
	}
	var text []byte
	for len(text) < 2_000_000 {
		text = append(text, words[r.IntN(1+r.IntN(len(words)))]...)
		if r.IntN(50) == 0 {
			text = append(text, make([]byte, r.IntN(3000))...)
		}
	}
	all["words"] = text
	return all
}

func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// packers are the ways in which content is compressed.
func packers(t testing.TB) map[string]func([]byte) []byte {
	all := map[string]func([]byte) []byte{}
	for _, level := range []int{stdgzip.HuffmanOnly, stdgzip.NoCompression, 1, 2, 5, 6, 9} {
		all[fmt.Sprintf("go %d", level)] = func(b []byte) []byte {
			var out bytes.Buffer
			w, err := stdgzip.NewWriterLevel(&out, level)
			if err != nil {
				t.Fatal(err)
			}
			return written(t, w, &out, b)
		}
		all[fmt.Sprintf("klauspost %d", level)] = func(b []byte) []byte {
			var out bytes.Buffer
			w, err := gzip.NewWriterLevel(&out, level)
			if err != nil {
				t.Fatal(err)
			}
			return written(t, w, &out, b)
		}
	}
	return all
}

// written compresses b, flushing now and then, which makes empty stored blocks.
func written(t testing.TB, w interface {
	io.WriteCloser
	Flush() error
}, out *bytes.Buffer, b []byte,
) []byte {
	half := len(b) / 2
	_, first := w.Write(b[:half])
	flushed := w.Flush()
	_, second := w.Write(b[half:])
	if err := errors.Join(first, flushed, second, w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func decoded(r io.Reader) ([]byte, error) { return io.ReadAll(NewReader(bufio.NewReader(r))) }

func TestReader(t *testing.T) {
	all := contents()
	for packed, pack := range packers(t) {
		for name, want := range all {
			blob := pack(want)
			for how, r := range map[string]io.Reader{
				"at once":          bytes.NewReader(blob),
				"byte by byte":     iotest.OneByteReader(bytes.NewReader(blob)),
				"with its end":     iotest.DataErrReader(bytes.NewReader(blob)),
				"through 16 bytes": bufio.NewReaderSize(bytes.NewReader(blob), 16),
			} {
				in, ok := r.(*bufio.Reader)
				if !ok {
					in = bufio.NewReaderSize(r, 4096)
				}
				got, err := io.ReadAll(NewReader(in))
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s, %s, read %s: %d bytes, %v; want %d", name, packed, how, len(got), err, len(want))
				}
			}
		}
	}
}

// TestReadSizes reads in pieces of every kind.
func TestReadSizes(t *testing.T) {
	want := contents()["words"]
	blob := packers(t)["go 6"](want)
	r := rand.New(rand.NewPCG(3, 4))
	z := NewReader(bufio.NewReader(bytes.NewReader(blob)))
	var got []byte
	for {
		b := make([]byte, r.IntN(1+r.IntN(100_000)))
		n, err := z.Read(b)
		got = append(got, b[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got, want) {
		t.Error("what is read in pieces is something else")
	}
	if n, err := z.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %d, %v", n, err)
	}
}

// member makes a member of a gzip stream by hand.
func member(flags byte, fields, deflated, content []byte) []byte {
	b := append([]byte{0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 255}, fields...)
	b = append(b, deflated...)
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(content))
	return binary.LittleEndian.AppendUint32(b, uint32(len(content)))
}

// TestMembers: a stream may have several, each with a header of several fields, and
// nothing reaches from one into the one before.
func TestMembers(t *testing.T) {
	hello := []byte("hello")
	stored := append([]byte{1, 5, 0, 0xfa, 0xff}, hello...)
	extra := append([]byte{0x00, 0x03}, make([]byte, 0x300)...)
	long := append(bytes.Repeat([]byte("n"), 511), 0)
	sum := func(flags byte, fields []byte) []byte {
		head := append([]byte{0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 255}, fields...)
		return binary.LittleEndian.AppendUint16(slices.Clone(fields), uint16(crc32.ChecksumIEEE(head)))
	}
	plain := member(0, nil, stored, hello)
	var w bitWriter
	w.add(1, 1)       // the last block
	w.add(1, 2)       // in fixed codes
	w.code(1, 7)      // a length of 3
	w.code(4, 5)      // a distance of 5 or 6
	w.add(0, 1)       // 5
	w.code(0, 7)      // the end
	back := w.bytes() // it reaches five bytes back, where the member before has "hello"
	for _, c := range []struct {
		name string
		blob []byte
		want string
		err  error
	}{
		{"one", plain, "hello", nil},
		{"two", slices.Concat(plain, plain), "hellohello", nil},
		{"an extra field", member(flagExtra, extra, stored, hello), "hello", nil},
		{"a name", member(flagName, []byte("name\x00"), stored, hello), "hello", nil},
		{"a long name", member(flagName, long, stored, hello), "hello", nil},
		{"too long a name", member(flagName, append([]byte("n"), long...), stored, hello), "", ErrHeader},
		{"a comment", member(flagComment, []byte("comment\x00"), stored, hello), "hello", nil},
		{"a checked header", member(flagSum, sum(flagSum, nil), stored, hello), "hello", nil},
		{"everything", member(flagSum|flagExtra|flagName|flagComment|1,
			sum(flagSum|flagExtra|flagName|flagComment|1, slices.Concat(extra, []byte("n\x00c\x00"))), stored, hello), "hello", nil},
		{"a wrong header", member(flagSum, []byte{1, 2}, stored, hello), "", ErrHeader},
		{"a reserved flag", member(0x40, nil, stored, hello), "", ErrHeader},
		{"another method", slices.Concat([]byte{0x1f, 0x8b, 7}, plain[3:]), "", ErrHeader},
		{"zeros behind", append(slices.Clone(plain), make([]byte, 100)...), "hello", ErrHeader},
		{"a little behind", append(slices.Clone(plain), 0x1f), "hello", io.ErrUnexpectedEOF},
		{"no beginning", nil, "", io.ErrUnexpectedEOF},
		{"a match into the member before", append(slices.Clone(plain), member(0, nil, back, []byte("hel"))...), "hello", ErrDamaged},
		{"a wrong sum", member(0, nil, stored, []byte("hallo")), "hello", ErrSum},
		{"a wrong size", append(slices.Clone(plain[:len(plain)-4]), 6, 0, 0, 0), "hello", ErrSum},
		{"a wrong length", member(0, nil, append([]byte{1, 5, 0, 0xfb, 0xff}, hello...), hello), "", ErrDamaged},
		{"a third kind", member(0, nil, []byte{7}, nil), "", ErrDamaged},
	} {
		got, err := decoded(bytes.NewReader(c.blob))
		if string(got) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, %v; want %q, %v", c.name, got, err, c.want, c.err)
		}
	}
}

// bitWriter writes what DEFLATE is made of.
type bitWriter struct {
	b []byte
	n int
}

// add adds the lowest n bits of v, the lowest first.
func (w *bitWriter) add(v uint, n int) {
	for i := range n {
		if w.n%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n/8] |= byte(v>>i&1) << (w.n % 8)
		w.n++
	}
}

// code adds a code, the highest bit first.
func (w *bitWriter) code(v uint, n int) {
	for i := n - 1; i >= 0; i-- {
		w.add(v>>i, 1)
	}
}

func (w *bitWriter) bytes() []byte { return w.b }

// TestCodes holds which codes are accepted against Go: complete ones, those of one
// symbol with one bit, none at all, and others, with all lengths of tables.
func TestCodes(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 20_000 {
		var w bitWriter
		w.add(1, 1)
		w.add(2, 2)
		w.add(uint(r.IntN(32)), 5)
		w.add(uint(r.IntN(32)), 5)
		n := 4 + r.IntN(16)
		w.add(uint(n-4), 4)
		for _, l := range randomCode(r, n) {
			w.add(uint(l), 3)
		}
		agree(t, member(0, nil, append(w.bytes(), noise(r, 200)...), nil))
	}
}

// randomCode makes lengths of n codes, which are complete more often than chance
// would have it.
func randomCode(r *rand.Rand, n int) []int {
	lengths := make([]int, n)
	leaves := []int{0}
	for range r.IntN(n) {
		i := r.IntN(len(leaves))
		if leaves[i] < 7 {
			leaves[i]++
			leaves = append(leaves, leaves[i])
		}
	}
	if len(leaves) == 1 {
		leaves[0] = r.IntN(3)
	}
	for i, at := range r.Perm(n)[:min(n, len(leaves))] {
		lengths[at] = leaves[i]
	}
	return lengths
}

// TestDamage flips bits and cuts off ends, and demands to be of one mind with Go.
func TestDamage(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	all := contents()
	for packed, pack := range packers(t) {
		for _, name := range []string{"a byte", "skewed", "period 3", "words"} {
			blob := pack(all[name][:min(len(all[name]), 20_000)])
			for range 60 {
				damaged := slices.Clone(blob)
				for range 1 + r.IntN(3) {
					damaged[r.IntN(min(len(blob), 1+r.IntN(400)))] ^= 1 << r.IntN(8)
				}
				agree(t, damaged)
				_, err := decoded(bytes.NewReader(blob[:r.IntN(len(blob))]))
				if !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("%s, %s, cut: %v", name, packed, err)
				}
			}
		}
	}
}

// agree demands the same of a stream as Go's own decoder has: the content and whether
// there is an error. What was decoded before an error may be more.
func agree(t *testing.T, blob []byte) {
	t.Helper()
	got, err := decoded(bytes.NewReader(blob))
	var want []byte
	z, wantErr := gzip.NewReader(bytes.NewReader(blob))
	if wantErr == nil {
		want, wantErr = io.ReadAll(z)
	} else if errors.Is(wantErr, io.EOF) {
		wantErr = io.ErrUnexpectedEOF
	}
	if (err == nil) != (wantErr == nil) {
		t.Errorf("%x: error %v, want %v", blob[:min(len(blob), 500)], err, wantErr)
		return
	}
	if err == nil && !bytes.Equal(got, want) || err != nil && !bytes.HasPrefix(got, want) && !bytes.HasPrefix(want, got) {
		t.Errorf("%x: %d bytes, want %d others", blob[:min(len(blob), 500)], len(got), len(want))
	}
	if err == nil {
		return
	}
	for _, known := range []error{ErrHeader, ErrDamaged, ErrSum, io.ErrUnexpectedEOF} {
		if errors.Is(err, known) {
			return
		}
	}
	t.Errorf("%x: an unknown error: %v", blob[:min(len(blob), 500)], err)
}

// TestSource: what the source says is passed on.
func TestSource(t *testing.T) {
	broken := errors.New("the connection broke")
	blob := packers(t)["go 6"](contents()["words"])
	for _, n := range []int{0, 5, 10, 11, 100, len(blob) / 2, len(blob) - 3} {
		_, err := decoded(io.MultiReader(bytes.NewReader(blob[:n]), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

// FuzzReader demands to be of one mind with Go about any stream: as it is, and as a
// DEFLATE stream whose sum is right.
func FuzzReader(f *testing.F) {
	all := contents()
	for _, pack := range packers(f) {
		for _, name := range []string{"a byte", "skewed", "period 7", "words"} {
			blob := pack(all[name][:min(len(all[name]), 3_000)])
			f.Add(blob)
			f.Add(blob[10 : len(blob)-8])
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		agree(t, b)
		content, _ := io.ReadAll(io.LimitReader(stdflate.NewReader(bytes.NewReader(b)), 1<<22))
		agree(t, member(0, nil, b, content))
	})
}

// BenchmarkReader decodes 2 MB of what compresses as programs and texts do.
func BenchmarkReader(b *testing.B) {
	r := rand.New(rand.NewPCG(9, 10))
	var phrases [][]byte
	for range 1024 {
		phrases = append(phrases, noise(r, 3+r.IntN(30)))
	}
	var plain []byte
	for len(plain) < 2_000_000 {
		plain = append(plain, phrases[r.IntN(1+r.IntN(1+r.IntN(len(phrases))))]...)
		if r.IntN(3) == 0 {
			plain = append(plain, noise(r, r.IntN(16))...)
		}
	}
	blob := packers(b)["go 6"](plain)
	for name, open := range map[string]func(io.Reader) (io.Reader, error){
		"hull":      func(r io.Reader) (io.Reader, error) { return NewReader(bufio.NewReaderSize(r, 128<<10)), nil },
		"klauspost": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(bufio.NewReaderSize(r, 128<<10)) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			for b.Loop() {
				z, err := open(bytes.NewReader(blob))
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, z); err != nil || n != int64(len(plain)) {
					b.Fatal(n, err)
				}
			}
			b.ReportMetric(float64(len(plain))/float64(len(blob)), "ratio")
		})
	}
}
