package archive

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hull/layers/unpack"
)

// LoadOptions say how an archive is read.
type LoadOptions struct {
	// Dir is a directory for this archive alone, empty, on the store's disk, that
	// only root enters. Blobs come to lie in it under the hex digits of their digest.
	Dir string
	// Platform is what an image of several platforms is loaded for.
	Platform v1.Platform
	// Room, if not nil, is asked before more bytes are written, and every few MiB
	// with 0; its error ends the loading and is returned.
	Room func(more int64) error
	// Ended, if not nil, is called when the archive's end mark has been read, after
	// which only padding comes. An archive without a mark ends with its stream.
	Ended  func()
	Limits Limits
}

// Limits are how much an archive may hold. A zero means the default.
type Limits struct {
	Bytes   int64 // of the uncompressed stream; default 1 TiB
	Entries int64 // default 131,072
	Ratio   int64 // bytes out for each byte in of a compressed archive, counted after the first 256 MiB; default 1100
}

// Bounds that nothing honest comes near.
const (
	maxDocument  = 4 << 20  // bytes of one manifest, config or index
	maxDocuments = 16 << 20 // of all of them, as they are all held in memory
	maxNames     = 32 << 20 // of the names of all files
	maxPath      = 4095
	maxImages    = 4096
	maxLayers    = 500 // what overlay puts together
	maxTags      = 4096
	maxNesting   = 8  // indexes in one another
	maxLinks     = 16 // links to links

	maxWindow = 32 << 20 // of a zstd stream, kept in memory

	ratioFloor = 256 << 20
	roomStep   = 8 << 20
	bufferSize = 256 << 10
)

// Load reads an archive to its end. It may be compressed as a whole (gzip, zstd).
// The images' blobs lie in o.Dir when it returns, not yet synced, and nothing else;
// after an error nothing lies there.
//
// r has to give up when ctx ends. Errors are *[Error]; those of Room are wrapped, or
// passed on if they are an *[Error].
func Load(ctx context.Context, r io.Reader, o LoadOptions) (images []*Image, err error) {
	o.Limits = o.Limits.withDefaults()
	s := &spool{o: o, files: map[string]file{}, blobs: map[string]blob{}, buf: make([]byte, bufferSize)}
	l := &loader{spool: s, documents: map[string][]byte{}, byDigest: map[string]*Image{}}
	defer func() {
		keep := map[string]bool{}
		if err == nil {
			keep = l.wanted
		}
		if e := s.clean(keep); err == nil && e != nil {
			images, err = nil, failed("", e)
			_ = s.clean(nil) // as far as it can be done
		}
	}()
	if err := s.stream(ctx, r); err != nil {
		return nil, failed("", err)
	}
	if images, err = l.images(); err != nil {
		return nil, failed("", err)
	}
	return images, nil
}

func (l Limits) withDefaults() Limits {
	if l.Bytes == 0 {
		l.Bytes = 1 << 40
	}
	if l.Entries == 0 {
		l.Entries = 128 << 10
	}
	if l.Ratio == 0 {
		l.Ratio = 1100
	}
	return l
}

// stream goes through the archive.
func (s *spool) stream(ctx context.Context, r io.Reader) error {
	in := &input{ctx: ctx, r: r}
	begin := bufio.NewReaderSize(in, bufferSize)
	for _, other := range [][2]string{{"xz", xzMagic}, {"bzip2", bzip2Magic}} {
		if head, _ := begin.Peek(len(other[1])); string(head) == other[1] { // a failure shows again when it is read
			return problem(Unsupported, "", "it is compressed with %s, which hull does not read; pipe it through %[1]s -dc", other[0])
		}
	}
	plain, err := unpack.Decompress(begin, unpack.Decoder{Window: maxWindow})
	if err != nil {
		return in.explain(err)
	}
	out := &output{r: plain, in: in, limits: s.o.Limits}
	err = s.entries(out)
	if err == nil {
		if s.o.Ended != nil && !out.over {
			s.o.Ended()
		}
		// What follows the end is read, so that the writer at the other end of a pipe
		// is not killed over it, and so that a compressed stream's checksum is seen.
		_, err = io.Copy(io.Discard, out)
	}
	_ = plain.Close() // it was only read
	return in.explain(err)
}

// input is the caller's reader; it knows the context, what came, and why it failed.
type input struct {
	ctx context.Context //nolint:containedctx // an io.Reader has no other way to be interrupted
	r   io.Reader
	n   int64
	err error
}

func (in *input) Read(b []byte) (int, error) {
	if err := in.ctx.Err(); err != nil {
		in.err = err
		return 0, err
	}
	n, err := in.r.Read(b)
	in.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		in.err = err
	}
	return n, err
}

// explain says that the stream failed, if it did, rather than what came of that.
func (in *input) explain(err error) error {
	if err != nil && in.err != nil {
		return in.err
	}
	return err
}

// output is the uncompressed stream, with its limits.
type output struct {
	r      io.Reader
	in     *input
	n      int64
	over   bool // it has been read to its end
	limits Limits
}

func (o *output) Read(b []byte) (int, error) {
	n, err := o.r.Read(b)
	o.n += int64(n)
	o.over = errors.Is(err, io.EOF)
	if o.n > o.limits.Bytes {
		return n, problem(TooLarge, "", "it has more than %d bytes", o.limits.Bytes)
	}
	if o.n > ratioFloor && o.n/o.limits.Ratio > o.in.n {
		return n, problem(TooLarge, "", "it is more than %d times as large as the stream it comes in", o.limits.Ratio)
	}
	return n, err
}

// clean removes the blobs that are not to be kept.
func (s *spool) clean(keep map[string]bool) error {
	var first error
	for digest := range s.blobs {
		if keep[digest] {
			continue
		}
		if err := os.Remove(s.blobs[digest].path); err != nil && !os.IsNotExist(err) && first == nil {
			first = err
		}
		delete(s.blobs, digest)
	}
	return first
}
