// Package pack makes tar streams of directories: the layer that an overlay's
// upper directory is ([Layer], for commit), and a whole file system ([Tree], for
// export).
//
// The directory belongs to a container, which may be running and is not trusted:
// between two looks at a name it can be anything else. So the walk holds a
// descriptor for each directory it is in, takes one component at a time (openat2
// with RESOLVE_BENEATH, NO_SYMLINKS and NO_XDEV for directories, O_NOFOLLOW for
// files), and describes a file by what it has open, never by what it saw before.
// What vanishes or changes its type meanwhile is left out; a file that shrinks is
// filled up with zeros, one that grows is cut at the size its header promised.
//
// What a stream holds depends on the directory's content alone, so that packing it
// twice gives the same bytes: names are sorted, there are no access and change
// times and no names of users, whiteouts have no time and no owner of their own.
//
// What is left out: sockets, which no archive can keep, and the attributes that
// belong to the host's policy or to overlay. Files with holes are read quickly and
// written as zeros: not every reader of layers knows tar's sparse forms.
package pack

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
)

// Options say how a directory is packed. The zero value is fit for use.
type Options struct {
	// Base is taken off every owner: the first host id of a container whose tree
	// is seen through its id-mapped mount. An owner outside of Base and the Size
	// ids that follow (0 = 65536) becomes 65534, as the kernel shows it.
	// With Base 0 owners are packed as they are.
	Base, Size uint32
	// Omit are paths, relative to the directory, that are left out with all that is in
	// them.
	Omit   []string
	Limits Limits
}

// Limits are how much a directory may hold. A zero means the default, which is what
// hull accepts of a layer.
type Limits struct {
	Bytes   int64 // of the stream; default 1 TiB
	Entries int64 // default 4 million
	Depth   int   // directories in one another; default 1024
}

// Result is what was packed.
type Result struct {
	DiffID  string // "sha256:…" of the stream
	Size    int64  // bytes of the stream
	Bytes   int64  // content of the files
	Entries int64
}

// Layer writes the layer that the upper directory of an overlay is: its files,
// with whiteouts as ".wh." names. upper may be open O_PATH, and ids are those on
// disk. Nothing may be copied up or renamed meanwhile if the layer is to be of one
// moment: pause the container.
//
// It fails, with kind Unsupported, where a layer cannot say what the directory
// says: a file whose own name begins with ".wh.", or what a mount with
// redirect_dir or metacopy has left.
func Layer(ctx context.Context, w io.Writer, upper *os.File, o Options) (Result, error) {
	return run(ctx, w, upper, o, true)
}

// Tree writes everything in root as it is, links as links, without entering mount
// points. There is no entry for root itself, so that unpacking changes nothing of
// the directory it is done in.
func Tree(ctx context.Context, w io.Writer, root *os.File, o Options) (Result, error) {
	return run(ctx, w, root, o, false)
}

func run(ctx context.Context, w io.Writer, root *os.File, o Options, layer bool) (Result, error) {
	o.Limits = o.Limits.withDefaults()
	if o.Size == 0 {
		o.Size = 1 << 16
	}
	fd, err := sys.Of(root).Open(".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	runtime.KeepAlive(root)
	if err != nil {
		return Result{}, failed("", err)
	}
	defer fd.Close()
	out := &sink{w: w, sum: sha256.New(), most: o.Limits.Bytes}
	buffer := bufio.NewWriterSize(out, chunk)
	p := &packer{
		ctx: ctx, o: o, layer: layer, tar: tar.NewWriter(buffer),
		links: map[inode]*link{}, buf: make([]byte, chunk),
	}
	err = p.root(fd)
	if err == nil {
		err = errors.Join(p.tar.Close(), buffer.Flush())
	}
	if out.err != nil { // the cause of whatever followed
		err = out.err
	}
	if err != nil {
		return Result{}, failed("", err)
	}
	return Result{
		DiffID: "sha256:" + hex.EncodeToString(out.sum.Sum(nil)), Size: out.n,
		Bytes: p.bytes, Entries: p.entries,
	}, nil
}

func (l Limits) withDefaults() Limits {
	if l.Bytes == 0 {
		l.Bytes = 1 << 40
	}
	if l.Entries == 0 {
		l.Entries = 4 << 20
	}
	if l.Depth == 0 {
		l.Depth = 1024
	}
	return l
}

// sink hashes and counts what goes to the caller's writer, and remembers why that
// failed.
type sink struct {
	w    io.Writer
	sum  hash.Hash
	n    int64
	most int64
	err  error
}

func (s *sink) Write(b []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if s.n+int64(len(b)) > s.most {
		s.err = tooLarge("", "it would take more than %d bytes", s.most)
		return 0, s.err
	}
	n, err := s.w.Write(b)
	s.sum.Write(b[:n])
	s.n += int64(n)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		s.err = &Error{Kind: writeKind(err), Err: err}
	}
	return n, s.err
}
