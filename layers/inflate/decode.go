package inflate

import (
	"encoding/binary"
	"errors"
	"io"
)

// ahead is how much of the input fast looks at in one turn: it takes at most seven
// bytes twice, eight at a time.
const ahead = 16

// coded decodes what a compressed block holds.
func (z *Reader) coded() error {
	for z.wrote < winSize-slack {
		if z.in.Buffered() < ahead {
			b, err := z.in.Peek(ahead)
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			if len(b) < ahead {
				if done, err := z.careful(); done || err != nil {
					return err
				}
				continue
			}
		}
		in, err := z.in.Peek(z.in.Buffered())
		if err != nil {
			return err
		}
		n, stop := z.fast(in)
		if _, err := z.in.Discard(n); err != nil {
			return err
		}
		switch {
		case stop&isEnd != 0:
			z.endBlock()
			return nil
		case stop != 0:
			return ErrDamaged
		}
	}
	return nil
}

// fast decodes as long as there is input for a whole turn, and room. It returns how
// much of the input is used, and the entry that it cannot go on from, or 0.
//
// A turn begins with 56 bits at least. It takes up to four literals of the table's
// first part, of 11 bits each; or up to three, and then a length of 20 bits with its
// extra ones; and after a refill a distance of 28.
func (z *Reader) fast(in []byte) (used int, stop entry) {
	w, lits, dists := &z.w, &z.lits, &z.dists
	bits, nb, at, pos := z.bits, z.nb, z.wrote, 0
	for pos <= len(in)-ahead && at < winSize-slack {
		// Whole bytes, as many as there is room for. What of the next is above them
		// will come again at the same place.
		bits |= binary.LittleEndian.Uint64(in[pos:]) << (nb & 63)
		pos += int(63-nb) >> 3
		nb |= 56

		e := lits[bits&(1<<litRoot-1)]
		if e&isLiteral != 0 {
			bits, nb = bits>>(e&doneMask), nb-uint8(e)
			w[at] = byte(e >> valueShift)
			at++
			e = lits[bits&(1<<litRoot-1)]
			if e&isLiteral != 0 {
				bits, nb = bits>>(e&doneMask), nb-uint8(e)
				w[at] = byte(e >> valueShift)
				at++
				e = lits[bits&(1<<litRoot-1)]
				if e&isLiteral != 0 {
					bits, nb = bits>>(e&doneMask), nb-uint8(e)
					w[at] = byte(e >> valueShift)
					at++
					e = lits[bits&(1<<litRoot-1)]
					if e&isLiteral != 0 {
						bits, nb = bits>>(e&doneMask), nb-uint8(e)
						w[at] = byte(e >> valueShift)
						at++
						continue
					}
				}
			}
		}
		if e&isOther != 0 {
			if e&isLonger != 0 {
				bits, nb = bits>>litRoot, nb-litRoot
				e = lits[e>>valueShift&valueMask+uint32(bits)&(1<<(e>>codeShift&codeMask)-1)]
			}
			if e&isLiteral != 0 {
				bits, nb = bits>>(e&doneMask), nb-uint8(e)
				w[at] = byte(e >> valueShift)
				at++
				continue
			}
			if e&isOther != 0 {
				bits, nb = bits>>(e&doneMask), nb-uint8(e)
				stop = e
				break
			}
		}
		n := int(e>>valueShift&valueMask) + int(bits&(1<<(e&doneMask)-1)>>(e>>codeShift&codeMask))
		bits, nb = bits>>(e&doneMask), nb-uint8(e)

		bits |= binary.LittleEndian.Uint64(in[pos:]) << (nb & 63)
		pos += int(63-nb) >> 3
		nb |= 56

		e = dists[bits&(1<<distRoot-1)]
		if e&isOther != 0 {
			if e&isLonger != 0 {
				bits, nb = bits>>distRoot, nb-distRoot
				e = dists[e>>valueShift&valueMask+uint32(bits)&(1<<(e>>codeShift&codeMask)-1)]
			}
			if e&isOther != 0 {
				stop = bad
				break
			}
		}
		distance := int(e>>valueShift&valueMask) + int(bits&(1<<(e&doneMask)-1)>>(e>>codeShift&codeMask))
		bits, nb = bits>>(e&doneMask), nb-uint8(e)
		from, end := at-distance, at+n
		if from < z.begin {
			stop = bad
			break
		}
		switch {
		case distance >= wide:
			for ; at < end; at, from = at+wide, from+wide {
				*(*[wide]byte)(w[at:]) = *(*[wide]byte)(w[from:])
			}
		case distance >= 8:
			for ; at < end; at, from = at+8, from+8 {
				binary.LittleEndian.PutUint64(w[at:], binary.LittleEndian.Uint64(w[from:]))
			}
		case distance == 1:
			run := uint64(w[from]) * 0x0101010101010101
			for ; at < end; at += 8 {
				binary.LittleEndian.PutUint64(w[at:], run)
			}
		default:
			for ; at < end; at, from = at+1, from+1 {
				w[at] = w[from]
			}
		}
		at = end
	}
	// Whole bytes that were not needed go back.
	pos -= int(nb >> 3)
	nb &= 7
	z.bits, z.nb, z.wrote = bits&(1<<nb-1), nb, at
	return pos, stop
}

// careful decodes one symbol, and takes no byte that it does not need. It says whether
// the block has ended.
func (z *Reader) careful() (done bool, err error) {
	e, n, err := z.symbol(z.lits[:], litRoot)
	switch {
	case err != nil:
		return false, err
	case e&isLiteral != 0:
		z.w[z.wrote] = byte(n)
		z.wrote++
		return false, nil
	case e&isEnd != 0:
		z.endBlock()
		return true, nil
	case e&isOther != 0:
		return false, ErrDamaged
	}
	e, distance, err := z.symbol(z.dists[:], distRoot)
	if err != nil {
		return false, err
	}
	if e&isOther != 0 || distance > z.wrote-z.begin {
		return false, ErrDamaged
	}
	for range n {
		z.w[z.wrote] = z.w[z.wrote-distance]
		z.wrote++
	}
	return false, nil
}

// symbol takes a symbol by its table: its entry, and its value with the extra bits
// added. A look-up with too few bits finds a code that is no longer than the right one,
// for shorter codes come first; so it is repeated until there are as many as it says.
func (z *Reader) symbol(table []entry, root uint8) (e entry, value int, err error) {
	for {
		bits, nb := z.bits, z.nb
		e = table[bits&(1<<root-1)]
		if e&isLonger != 0 && nb >= root {
			bits, nb = bits>>root, nb-root
			e = table[e>>valueShift&valueMask+uint32(bits)&(1<<(e>>codeShift&codeMask)-1)]
		}
		if done := uint8(e & doneMask); done <= nb && e&isLonger == 0 {
			value = int(e>>valueShift&valueMask) + int(bits&(1<<done-1)>>(e>>codeShift&codeMask))
			z.bits, z.nb = bits>>done, nb-done
			return e, value, nil
		}
		if err := z.more(); err != nil {
			return e, 0, err
		}
	}
}
