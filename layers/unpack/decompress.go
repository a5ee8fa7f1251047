package unpack

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// zstdWindow is the most history a zstd stream may ask us to keep: what the zstd
// program itself accepts unless told otherwise (window log 27).
const zstdWindow = 128 << 20

// Decompress opens a layer's blob: gzip (of any number of members), zstd or plain
// tar. The first bytes decide; the media type is only what the manifest claims,
// (and not used): registries hold layers whose type lies. An empty blob is an empty layer.
//
// Damage to the compressed stream is an *[Error] of kind Corrupt; what r itself
// returns is passed on as it is. Close does not close r.
func Decompress(r io.Reader, _ string) (io.ReadCloser, error) {
	src := &source{r: r}
	in := bufio.NewReaderSize(src, 128<<10)
	magic, err := in.Peek(4)
	if len(magic) == 0 && errors.Is(err, io.EOF) {
		return io.NopCloser(in), nil
	}
	if src.err != nil {
		return nil, src.err
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
			zstd.WithDecoderMaxWindow(zstdWindow))
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
	r   io.Reader
	err error
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
		return tooLarge("", "its zstd stream wants a window of more than %d MiB", zstdWindow>>20)
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
