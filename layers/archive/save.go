package archive

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"hull/layers/reference"
)

// Saved is an image to be written.
type Saved struct {
	References []reference.Reference // names to be written; those with a digest are left out, as Docker does
	MediaType  string                // of Manifest
	Manifest   []byte                // as it was fetched
	Config     []byte
}

// Source gives the compressed layers of images.
type Source interface {
	// Blob opens the blob of a digest. Its content is verified while it is written.
	Blob(ctx context.Context, digest string) (io.ReadCloser, error)
}

// Save writes images as a Docker archive that is an OCI layout as well. Images of
// one manifest are written as one, with all their names, and every blob once. The
// bytes depend on the images and their order alone.
//
// Errors are *[Error], and those of source wrapped in one. After an error the stream
// has no end, so that no reader takes it for whole.
func Save(ctx context.Context, w io.Writer, images []Saved, source Source) error {
	s := &saver{ctx: ctx, out: &sink{w: w}, source: source, done: map[string]bool{}, buf: make([]byte, bufferSize)}
	s.tar = tar.NewWriter(s.out)
	err := s.save(images)
	if s.out.err != nil { // the cause of whatever followed
		err = &Error{Kind: writeKind(s.out.err), Err: s.out.err}
	}
	return failed("", err)
}

func writeKind(err error) Kind {
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return Space
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Cancelled
	}
	return Write
}

// sink remembers why the caller's writer failed.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	if err != nil && s.err == nil {
		s.err = err
	}
	return n, err
}

type saver struct {
	ctx    context.Context //nolint:containedctx // a saver lives for one call of Save
	out    *sink
	tar    *tar.Writer
	source Source
	done   map[string]bool // blobs that have been written
	buf    []byte
}

func (s *saver) save(images []Saved) error {
	list, err := plan(images)
	if err != nil {
		return err
	}
	documents, err := describe(list)
	if err != nil {
		return err
	}
	// The documents come first, for whoever looks only at them.
	for _, d := range documents {
		if err := s.file(d.name, d.text); err != nil {
			return err
		}
	}
	for _, dir := range []string{"blobs/", blobsName} {
		if err := s.tar.WriteHeader(header(dir, tar.TypeDir, 0)); err != nil {
			return err
		}
	}
	for _, im := range list {
		for _, text := range [][]byte{im.Manifest, im.Config} {
			if digest := digestOf(text); !s.done[digest] {
				s.done[digest] = true
				if err := s.file(blobsName+hexOf(digest), text); err != nil {
					return err
				}
			}
		}
		for i := range im.parsed.Layers {
			if err := s.blob(&im.parsed.Layers[i]); err != nil {
				return err
			}
		}
	}
	return s.tar.Close()
}

// header has nothing in it that could differ from one time to the next.
func header(name string, kind byte, size int64) *tar.Header {
	h := &tar.Header{Typeflag: kind, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0)}
	if kind == tar.TypeDir {
		h.Mode = 0o755
	}
	return h
}

func (s *saver) file(name string, text []byte) error {
	if err := s.tar.WriteHeader(header(name, tar.TypeReg, int64(len(text)))); err != nil {
		return err
	}
	_, err := s.tar.Write(text)
	return err
}

// blob copies a layer, and makes sure that it is what the manifest says.
func (s *saver) blob(d *descriptor) error {
	if s.done[d.Digest] {
		return nil
	}
	s.done[d.Digest] = true
	r, err := s.source.Blob(s.ctx, d.Digest)
	if err != nil {
		return failed(d.Digest, err)
	}
	defer func() { _ = r.Close() }() // it was only read
	if err := s.tar.WriteHeader(header(blobsName+hexOf(d.Digest), tar.TypeReg, d.Size)); err != nil {
		return err
	}
	sum := sha256.New()
	n, err := s.copy(r, sum, d.Size)
	if err != nil {
		return failed(d.Digest, err)
	}
	if got := "sha256:" + hex.EncodeToString(sum.Sum(nil)); n != d.Size || got != d.Digest {
		return problem(Corrupt, d.Digest, "the store's copy of the layer is damaged: it has another content or size than its digest says; pull the image again")
	}
	return nil
}

// copy copies and hashes, and stops at what does not fit.
func (s *saver) copy(r io.Reader, sum hash.Hash, size int64) (n int64, err error) {
	for {
		if err := s.ctx.Err(); err != nil {
			return n, err
		}
		got, err := r.Read(s.buf)
		if got > 0 {
			if n += int64(got); n > size {
				return n, nil
			}
			sum.Write(s.buf[:got])
			if _, err := s.tar.Write(s.buf[:got]); err != nil {
				return n, err
			}
		}
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}
