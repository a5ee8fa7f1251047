package inflate

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// The flags of a member's header.
const (
	flagSum      = 1 << 1
	flagExtra    = 1 << 2
	flagName     = 1 << 3
	flagComment  = 1 << 4
	flagReserved = 7 << 5
)

// maxText is how long the name and the comment in a header may be, their NUL included.
const maxText = 512

// header reads the header of a member. Where a further one could begin, the stream
// may end.
func (z *Reader) header() error {
	var fixed [10]byte
	n, err := io.ReadFull(z.in, fixed[:])
	if n == 0 && !z.first && errors.Is(err, io.EOF) {
		return io.EOF
	}
	if err != nil {
		return ended(err)
	}
	if fixed[0] != 0x1f || fixed[1] != 0x8b || fixed[2] != 8 {
		return ErrHeader
	}
	flags := fixed[3]
	sum := crc32.ChecksumIEEE(fixed[:])
	if flags&flagExtra != 0 {
		size, err := z.pass(2, &sum)
		if err != nil {
			return err
		}
		for left := int(binary.LittleEndian.Uint16(size)); left > 0; {
			b, err := z.pass(min(left, maxText), &sum)
			if err != nil {
				return err
			}
			left -= len(b)
		}
	}
	for _, f := range []byte{flagName, flagComment} {
		if flags&f != 0 {
			if err := z.text(&sum); err != nil {
				return err
			}
		}
	}
	if flags&flagSum != 0 {
		want := uint16(sum)
		got, err := z.pass(2, &sum)
		if err != nil {
			return err
		}
		if binary.LittleEndian.Uint16(got) != want {
			return ErrHeader
		}
	}
	if flags&flagReserved != 0 {
		return ErrHeader
	}
	z.begin, z.sum, z.size, z.stage = z.wrote, 0, 0, atBlock
	return nil
}

// pass takes the next n bytes of a header. They are good until the next read.
func (z *Reader) pass(n int, sum *uint32) ([]byte, error) {
	b := z.scratch[:n]
	if _, err := io.ReadFull(z.in, b); err != nil {
		return nil, ended(err)
	}
	*sum = crc32.Update(*sum, crc32.IEEETable, b)
	return b, nil
}

// text passes over a string that ends with a NUL.
func (z *Reader) text(sum *uint32) error {
	for range maxText {
		b, err := z.pass(1, sum)
		if err != nil {
			return err
		}
		if b[0] == 0 {
			return nil
		}
	}
	return ErrHeader
}

// trailer checks a member's sum and size. What is left of its last byte is nothing.
func (z *Reader) trailer() error {
	z.check()
	z.bits, z.nb = 0, 0
	var b [8]byte
	if _, err := io.ReadFull(z.in, b[:]); err != nil {
		return ended(err)
	}
	if binary.LittleEndian.Uint32(b[:]) != z.sum || binary.LittleEndian.Uint32(b[4:]) != z.size {
		return ErrSum
	}
	z.first, z.stage = false, atHeader
	return nil
}
