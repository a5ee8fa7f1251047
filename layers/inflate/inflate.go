// Package inflate decodes gzip streams (RFC 1951 and 1952), of any number of members.
//
// It is here because decoding says how long the pull of a large layer takes: it is
// the one stage of a pull that cannot be divided among processors, and the libraries
// there are for Go take their input byte by byte and look at every symbol on its own.
// This one takes eight bytes at a time into a register of bits, finds most symbols in
// one look-up of a table in the processor's first cache, several of them between two
// refills, and copies matches sixteen bytes at a time; see [Reader.fast]. Near the end
// of the input, where eight bytes cannot be read, [Reader.careful] does the same
// symbol by symbol.
//
// The stream comes from a stranger. Everything is an index into an array or a slice
// that Go checks; nothing is unsafe, and the memory is the Reader's own, of one size.
// What is accepted is what compress/flate and compress/gzip accept, bit for bit: the
// tests hold it against them.
package inflate

import (
	"bufio"
	"errors"
	"hash/crc32"
	"io"
)

const (
	history = 32 << 10  // how far back a match may reach
	winSize = 128 << 10 // of history, of what was decoded since, and of slack
	// slack is what one symbol may write, and its copying beyond it.
	slack = longest + 2*wide
	// longest is the longest match, wide how much is copied at a time.
	longest, wide = 258, 16
)

// The errors of a stream that is not what it should be; one that ends too early is
// io.ErrUnexpectedEOF.
var (
	ErrHeader  = errors.New("there is no header of a gzip stream where one should be")
	ErrDamaged = errors.New("the gzip stream is damaged")
	ErrSum     = errors.New("the content of the gzip stream is not what its checksum says")
)

// stage is where in the stream a Reader is.
type stage uint8

const (
	atHeader  stage = iota // of a member
	atBlock                // at the header of a block
	inStored               // within a block that is not compressed
	inCodes                // within one that is
	atTrailer              // of a member
)

// Reader decodes a gzip stream. It reads ahead of the stream's end, if there is more.
type Reader struct {
	in    *bufio.Reader
	err   error // remembered for further reads
	stage stage
	first bool // no member has ended yet
	final bool // the block is the member's last
	left  int  // bytes of a stored block

	// Bits taken from the input and not used: nb of them, fewer than eight outside
	// of fast. What is above them is zero.
	bits uint64
	nb   uint8

	w      [winSize]byte
	begin  int // of the member, or of what is left of it, in w
	read   int // up to where the caller has it
	summed int // up to where it is in the sum
	wrote  int

	sum  uint32
	size uint32

	lits    [litTable]entry
	dists   [distTable]entry
	isFixed bool // they are those of the fixed codes
	code    codes
	scratch [maxText]byte // of a header
}

// NewReader makes a Reader of a stream. in has to hold 16 bytes at least.
func NewReader(in *bufio.Reader) *Reader {
	return &Reader{in: in, first: true}
}

// Read reads what the stream holds. What it returns is checked by the member's sum
// only when its end has been read.
func (z *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for z.read == z.wrote {
		if z.err != nil {
			return 0, z.err
		}
		z.slide()
		z.err = z.decode()
		z.check()
	}
	n := copy(p, z.w[z.read:z.wrote])
	z.read += n
	return n, nil
}

// slide makes room in the window, all of which the caller has.
func (z *Reader) slide() {
	if z.wrote < winSize-slack {
		return
	}
	gone := z.wrote - history
	copy(z.w[:history], z.w[gone:z.wrote])
	z.wrote, z.read, z.summed = history, history, history
	z.begin = max(z.begin-gone, 0)
}

// check adds what was decoded to the sum.
func (z *Reader) check() {
	z.sum = crc32.Update(z.sum, crc32.IEEETable, z.w[z.summed:z.wrote])
	z.size += uint32(z.wrote - z.summed)
	z.summed = z.wrote
}

// decode fills the window, or comes to the stream's end or an error.
func (z *Reader) decode() error {
	for z.wrote < winSize-slack {
		var err error
		switch z.stage {
		case atHeader:
			err = z.header()
		case atBlock:
			err = z.block()
		case inStored:
			err = z.stored()
		case inCodes:
			err = z.coded()
		case atTrailer:
			err = z.trailer()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ended makes an end where there should be none an error.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
