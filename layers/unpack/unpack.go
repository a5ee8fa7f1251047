// Package unpack turns the tar stream of an image's layer into a directory that
// the kernel's overlay file system takes as a layer.
//
// The stream comes from a stranger. So nothing in it is ever resolved by path:
// an unpacker holds the descriptor of a staging directory that only root enters,
// walks from it one component at a time (openat2 with RESOLVE_BENEATH and
// RESOLVE_NO_SYMLINKS, symbolic links of the layer itself followed by hand and
// never above that directory), and does the rest with *at calls on the last
// component.
//
// What a layer means, beyond tar:
//
//   - ".wh.x" says that x of the layers below is gone (a character device 0/0),
//     ".wh..wh..opq" that all of a directory's content below is gone (the xattr
//     trusted.overlay.opaque). Both speak of the layers below only, so they may
//     stand before or after what the layer itself puts there.
//   - A later entry replaces an earlier one of the same name. A directory that
//     replaces something else does not merge with the layers below.
//   - A directory that entries lie in but that has no entry itself is the one of
//     the layers below: it takes owner, mode, attributes and times from there, or
//     is 0755 root's with the time 0 where there is none. See [Result.FromBelow].
//     The layer's root is the exception, see [ImpliedRoot].
//   - A hard link may name a file of the layers below, which is then copied up.
//
// What would let a layer speak to the kernel rather than to the container is
// refused: attributes of overlay itself, the device 0/0, names that lead out.
//
// Owners are stored as the layer has them (0–65535 in sane images); id-mapped
// mounts show them to a container as its own.
package unpack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
)

// ImpliedRoot is an attribute that [Layer] sets on the directory it unpacked to
// where the layer has no entry for its root, as most have not: then the root of
// the union is that of the first layer below without the mark. (Copying it, as is
// done with other directories, would make every layer depend on those below.)
const ImpliedRoot = "trusted.hull.implied"

// Options say how a layer is unpacked.
type Options struct {
	// Lower are the unpacked layers below, highest first.
	Lower []*os.File
	// Below, if not nil, is called in place of Lower, once, when something of the
	// layers below is needed first: layers of one image can so be unpacked at the
	// same time, the few that need those below waiting there for them. The files
	// stay the caller's. Its error is Layer's.
	Below func(ctx context.Context) ([]*os.File, error)
	// Compressed is the size of the compressed blob, for Limits.Ratio; 0 if it is
	// not known.
	Compressed int64
	Limits     Limits
}

// Limits are how much a layer may be. A zero means the default.
type Limits struct {
	Bytes   int64 // of the stream, and of all files together; default 1 TiB
	Entries int64 // default 4 million
	Depth   int   // directories in one another; default 1024
	Ratio   int64 // bytes out for each byte in, counted after the first 256 MiB; default 1100, more than gzip can
}

// Result is what was unpacked.
type Result struct {
	Entries int64  // entries of the layer
	Bytes   int64  // content of its files
	DiffID  string // "sha256:…" of the whole stream, for the caller to compare
	// FromBelow says that the directory depends on the layers below it, so that
	// it may be used only above the same layers: it is stored by chain ID, not by
	// diff ID. (True also of a lowest layer, whose two IDs are equal: such a
	// directory serves as the lowest only.)
	FromBelow bool
}

// Layer unpacks an uncompressed tar stream into the empty directory dir, which
// nobody but root may be able to enter, and reads r to its very end for the diff
// ID. It writes nothing out: the caller does one [sys.Syncfs] for a whole pull.
//
// r has to give up when ctx ends; it is not read any more once Layer has returned.
// Errors are *[Error], or wrap what r returned.
// After one, dir holds a part of the layer for the caller to remove; only if the
// disk was full has it been emptied already.
func Layer(ctx context.Context, r io.Reader, dir *os.File, o Options) (Result, error) {
	o.Limits = o.Limits.withDefaults()
	root, err := sys.Of(dir).Open(".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return Result{}, failed("", fmt.Errorf("opening the staging directory: %w", err))
	}
	defer root.Close()
	defer runtime.KeepAlive(dir)

	u := newUnpacker(ctx, root, o)
	defer u.close()
	u.in = readAhead(r, u.streamLimit)
	err = u.run()
	u.in.close()
	if err == nil {
		u.result.DiffID = u.in.digest()
		return u.result, nil
	}
	_ = u.small.end() // it writes no more; what failed first is known
	err = failed("", err)
	var known *Error
	if errors.As(err, &known) && known.Kind == Space {
		// The room is needed at once, by all others. What cannot be removed now is
		// found by the store's sweep.
		if removeErr := sys.RemoveContents(context.WithoutCancel(ctx), dir); removeErr != nil {
			err = &Error{Kind: Space, Err: errors.Join(err, removeErr)}
		}
	}
	return Result{}, err
}

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		limit *int64
		value int64
	}{{&l.Bytes, 1 << 40}, {&l.Entries, 4 << 20}, {&l.Ratio, 1100}} {
		if *d.limit == 0 {
			*d.limit = d.value
		}
	}
	if l.Depth == 0 {
		l.Depth = 1024
	}
	return l
}
