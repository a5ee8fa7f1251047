package inflate

// The kinds of blocks.
const (
	kindStored  = 0
	kindFixed   = 1
	kindDynamic = 2
)

// block reads the header of a block.
func (z *Reader) block() error {
	b, err := z.take(3)
	if err != nil {
		return err
	}
	z.final = b&1 != 0
	switch b >> 1 {
	case kindStored:
		return z.beginStored()
	case kindFixed:
		if !z.isFixed {
			z.fixed()
		}
	case kindDynamic:
		if err := z.dynamic(); err != nil {
			return err
		}
	default:
		return ErrDamaged
	}
	z.stage = inCodes
	return nil
}

// endBlock goes on to what follows a block.
func (z *Reader) endBlock() {
	z.stage = atBlock
	if z.final {
		z.stage = atTrailer
	}
}

// take takes up to 16 bits from the input.
func (z *Reader) take(n uint8) (uint, error) {
	for z.nb < n {
		if err := z.more(); err != nil {
			return 0, err
		}
	}
	v := uint(z.bits) & (1<<n - 1)
	z.drop(n)
	return v, nil
}

// more adds a byte of the input to the bits.
func (z *Reader) more() error {
	c, err := z.in.ReadByte()
	if err != nil {
		return ended(err)
	}
	z.bits |= uint64(c) << z.nb
	z.nb += 8
	return nil
}

// drop takes bits that are there.
func (z *Reader) drop(n uint8) {
	z.bits >>= n
	z.nb -= n
}

// beginStored reads the length of a stored block, which begins with a whole byte.
func (z *Reader) beginStored() error {
	z.bits, z.nb = 0, 0
	n, err := z.take(16)
	if err != nil {
		return err
	}
	inverse, err := z.take(16)
	if err != nil {
		return err
	}
	if n != ^inverse&0xffff {
		return ErrDamaged
	}
	z.left, z.stage = int(n), inStored
	return nil
}

// stored copies what a stored block holds.
func (z *Reader) stored() error {
	for z.left > 0 {
		room := winSize - slack - z.wrote
		if room <= 0 {
			return nil
		}
		n, err := z.in.Read(z.w[z.wrote : z.wrote+min(z.left, room)])
		z.wrote += n
		z.left -= n
		if err != nil && z.left > 0 {
			return ended(err)
		}
	}
	z.endBlock()
	return nil
}

// order is the one in which the lengths of the codes of lengths stand.
var order = [lenSymbols]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// fixed makes the tables of the codes that need not be told.
func (z *Reader) fixed() {
	z.isFixed = true
	l := z.code.lengths[:litSymbols]
	for i := range l {
		switch {
		case i < 144:
			l[i] = 8
		case i < 256:
			l[i] = 9
		case i < 280:
			l[i] = 7
		default:
			l[i] = 8
		}
	}
	_ = z.code.build(z.lits[:], litRoot, l, litEntry) // it is complete
	l = z.code.lengths[:distSymbols]
	for i := range l {
		l[i] = 5
	}
	_ = z.code.build(z.dists[:], distRoot, l, distEntry)
}

// dynamic reads the codes of a block and makes their tables.
func (z *Reader) dynamic() error {
	counts, err := z.take(14)
	if err != nil {
		return err
	}
	lits, dists := int(counts&31)+257, int(counts>>5&31)+1
	if lits > 286 || dists > 30 {
		return ErrDamaged
	}
	l := z.code.lengths[:lenSymbols]
	clear(l)
	for _, symbol := range order[:counts>>10+4] {
		n, err := z.take(3)
		if err != nil {
			return err
		}
		l[symbol] = uint8(n)
	}
	// What is in z.lits now is not needed any more, and there is room.
	z.isFixed = false
	if err := z.code.build(z.lits[:], lenRoot, l, lenEntry); err != nil {
		return err
	}
	l = z.code.lengths[:lits+dists]
	if err := z.readLengths(l); err != nil {
		return err
	}
	if err := z.code.build(z.lits[:], litRoot, l[:lits], litEntry); err != nil {
		return err
	}
	return z.code.build(z.dists[:], distRoot, l[lits:], distEntry)
}

// readLengths reads the lengths of codes, many of which are repeated.
func (z *Reader) readLengths(l []uint8) error {
	for i := 0; i < len(l); {
		e, symbol, err := z.symbol(z.lits[:], lenRoot)
		if err != nil {
			return err
		}
		if e&isOther != 0 {
			return ErrDamaged
		}
		if symbol < 16 {
			l[i] = uint8(symbol)
			i++
			continue
		}
		var value, base, extra uint8
		switch symbol {
		case 16:
			if i == 0 {
				return ErrDamaged
			}
			value, base, extra = l[i-1], 3, 2
		case 17:
			base, extra = 3, 3
		default:
			base, extra = 11, 7
		}
		more, err := z.take(extra)
		if err != nil {
			return err
		}
		n := int(base) + int(more)
		if n > len(l)-i {
			return ErrDamaged
		}
		for range n {
			l[i] = value
			i++
		}
	}
	return nil
}
