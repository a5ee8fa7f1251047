package unpack

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strings"

	"golang.org/x/sys/unix"

	"hull/layers/internal/sys"
)

// zeros is a block that need not be written: sparse files are filled in units of
// its size.
var zeros [4096]byte

// regular makes a file; what a small one still needs is left to the finisher.
func (u *unpacker) regular(d *dir, base string, h *tar.Header, a attributes) error {
	if err := u.room(h.Size); err != nil {
		return err
	}
	made := u.asMade(&a)
	mode := uint32(0o600)
	if made.mode {
		mode = a.mode
	}
	fd, err := u.create(d, base, mode)
	if err != nil {
		return err
	}
	if h.Size <= smallSize && !isSparse(h) {
		return u.leave(fd, h, a, made)
	}
	defer fd.Close()
	if err := u.copy(fd, u.tar, h.Size, isSparse(h)); err != nil {
		return err
	}
	return a.complete(fd, made)
}

// leave reads a small file's content and leaves the rest to the finisher.
func (u *unpacker) leave(fd sys.FD, h *tar.Header, a attributes, made made) error {
	body := u.small.room()[:h.Size]
	if _, err := io.ReadFull(u.tar, body); err != nil {
		fd.Close()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return u.tarError("", err)
	}
	return u.small.take(unfinished{fd: fd, body: body, a: a, made: made, name: h.Name})
}

// create makes an empty file in place of whatever has the name.
func (u *unpacker) create(d *dir, base string, mode uint32) (fd sys.FD, err error) {
	err = u.creating(d, base, func() (err error) {
		fd, err = d.fd.Open(base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, mode)
		return err
	})
	return fd, err
}

// isSparse knows files whose holes the tar reader fills with zeros.
func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// Of a file that is written, what is more than outStep begins to go to the disk at
// once, and the rest of a larger one than outSize; smaller ones are left to the end.
const (
	outStep = 4 << 20
	outSize = 1 << 20
)

// copy writes size bytes of r to the file, leaving holes where a sparse one has
// only zeros.
func (u *unpacker) copy(fd sys.FD, r io.Reader, size int64, sparse bool) error {
	out := int64(0)
	for left := size; left > 0; {
		n, err := r.Read(u.buf[:min(left, int64(len(u.buf)))])
		if n > 0 {
			left -= int64(n)
			var werr error
			if sparse {
				werr = writeSparse(fd, u.buf[:n], size-left-int64(n))
			} else {
				werr = fd.Write(u.buf[:n])
			}
			if werr != nil {
				return werr
			}
		}
		if at := size - left; at-out >= outStep || left == 0 && size >= outSize {
			fd.WriteOut(out, at-out)
			out = at
		}
		if left == 0 {
			break
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return u.tarError("", err)
		}
		if u.ctx.Err() != nil {
			return stopped(u.ctx)
		}
	}
	if sparse {
		return fd.Truncate(size)
	}
	return nil
}

// writeSparse writes b at an offset, without its aligned blocks of zeros.
func writeSparse(fd sys.FD, b []byte, offset int64) error {
	for len(b) > 0 {
		// To the next boundary, then whole blocks.
		n := min(len(b), len(zeros)-int(offset%int64(len(zeros))))
		if !bytes.Equal(b[:n], zeros[:n]) {
			if err := fd.WriteAt(b[:n], offset); err != nil {
				return err
			}
		}
		b, offset = b[n:], offset+int64(n)
	}
	return nil
}
