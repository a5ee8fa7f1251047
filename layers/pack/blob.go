package pack

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"

	"github.com/klauspost/compress/gzip"
)

// Blob compresses a layer's stream with gzip into the blob that is stored and
// pushed, and knows that blob's digest and size once it is closed. The same stream
// gives the same blob: the header has no name, no time and no system. (With the same
// version of the compressor, that is: another may find shorter ways to say it.)
type Blob struct {
	z   *gzip.Writer
	out counted
}

// NewBlob writes to w.
func NewBlob(w io.Writer) *Blob {
	b := &Blob{out: counted{w: w, sum: sha256.New()}}
	b.z = gzip.NewWriter(&b.out)
	return b
}

// Write takes the next bytes of the stream.
func (b *Blob) Write(p []byte) (int, error) { return b.z.Write(p) }

// Close writes the end. It does not close the writer below.
func (b *Blob) Close() error { return b.z.Close() }

// Digest is "sha256:…" of the blob, after Close.
func (b *Blob) Digest() string { return "sha256:" + hex.EncodeToString(b.out.sum.Sum(nil)) }

// Size is the blob's, after Close.
func (b *Blob) Size() int64 { return b.out.n }

type counted struct {
	w   io.Writer
	sum hash.Hash
	n   int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.sum.Write(p[:n])
	c.n += int64(n)
	return n, err
}
