package unpack

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// How much history a zstd stream may ask us to keep: what the Go encoder and the
// zstd program at its usual levels ask for, and the most that the program accepts
// unless told otherwise (window log 27).
const (
	Window     = 8 << 20
	WideWindow = 128 << 20
)

// ErrWindow is wrapped by the error of a zstd stream that asks for more.
var ErrWindow = errors.New("its zstd stream wants a wider window")

// Decoder says how a blob is opened. The zero value is fit for use.
type Decoder struct {
	// Window is the widest window that is accepted; 0 means Window.
	Window int64
	// Claim, if not nil, is called before memory is taken for a decoder, and not if
	// there is nothing to decode; its error is Decompress's.
	Claim func(zstd bool) error
}

// Decompress opens a layer's blob: gzip (of any number of members), zstd or plain
// tar. The first bytes decide, for registries hold layers whose media type lies. An
// empty blob is an empty layer.
//
// Damage to the compressed stream is an *[Error] of kind Corrupt; what r itself
// returns is passed on as it is. Close does not close r.
func Decompress(r io.Reader, o Decoder) (io.ReadCloser, error) {
	if o.Window == 0 {
		o.Window = Window
	}
	src := &source{r: r, window: o.Window}
	in := bufio.NewReaderSize(src, 128<<10)
	magic, err := in.Peek(4)
	if len(magic) == 0 && errors.Is(err, io.EOF) {
		return io.NopCloser(in), nil
	}
	if src.err != nil {
		return nil, src.err
	}
	if o.Claim != nil {
		if err := o.Claim(isZstd(magic)); err != nil {
			return nil, err
		}
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, src.explain(err)
		}
		return &stream{r: z, src: src, close: func() { _ = z.Close() }}, nil
	case isZstd(magic):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(uint64(o.Window)))
		if err != nil {
			return nil, src.explain(err)
		}
		return &stream{r: z, src: src, close: z.Close}, nil
	}
	for name, other := range map[string]string{"xz": "\xfd7zX", "bzip2": "BZh"} {
		if bytes.HasPrefix(magic, []byte(other)) {
			return nil, corrupt("", "it is compressed with %s, which layers are not", name)
		}
	}
	return &stream{r: in, src: src, close: func() {}}, nil
}

// isZstd knows a zstd frame and a skippable frame, with which chunked streams
// may begin.
func isZstd(magic []byte) bool {
	return bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}) ||
		len(magic) == 4 && magic[0]&0xf0 == 0x50 && bytes.Equal(magic[1:], []byte{0x2a, 0x4d, 0x18})
}

// source remembers the error of the blob's reader, so that it can be told from
// damage the decoder found.
type source struct {
	r      io.Reader
	window int64
	err    error
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

func (s *source) explain(err error) error {
	if s.err != nil {
		return s.err
	}
	if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		return tooLarge("", "%w than %d MiB", ErrWindow, s.window>>20)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return corrupt("", "the compressed stream ends too early")
	}
	return &Error{Kind: Corrupt, Err: err}
}

type stream struct {
	r     io.Reader
	src   *source
	close func()
}

func (s *stream) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	if err != nil && err != io.EOF { //nolint:errorlint // io.Reader's contract: EOF itself
		err = s.src.explain(err)
	}
	return n, err
}

func (s *stream) Close() error {
	s.close()
	return nil
}
