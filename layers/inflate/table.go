package inflate

import "math/bits"

// The three alphabets of DEFLATE: literals with lengths of matches, distances of
// matches, and lengths of codes.
const (
	litSymbols  = 288
	distSymbols = 32
	lenSymbols  = 19
	maxCode     = 15 // bits of a code
)

// A code is found in a table by its first bits, as many as root says; the rest of a
// longer one in a table of its own behind, which all codes with the same first bits
// share. At least two do, so that there are half as many of those as symbols at most.
const (
	litRoot  = 11
	distRoot = 8
	lenRoot  = 7

	litTable  = 1<<litRoot + litSymbols/2<<(maxCode-litRoot)
	distTable = 1<<distRoot + distSymbols/2<<(maxCode-distRoot)
)

// An entry of a table says what to do about the next bits:
//
//	31     it is a literal
//	16–30  the literal, or the base of a length or distance, or where in the table the
//	       rest of a longer code is found
//	15     it is none of literal, length, and distance, but what 14 and 13 say
//	14     the beginning of a longer code
//	13     the end of the block; neither: no code begins so
//	8–12   how many bits the code has, extra ones not counted; of the beginning of a
//	       longer one, how many are to be looked up next
//	0–7    how many bits are done with: the code's and the extra ones, which are added to
//	       the base
type entry = uint32

const (
	isLiteral entry = 1 << 31
	isOther   entry = 1 << 15
	isLonger  entry = 1 << 14
	isEnd     entry = 1 << 13

	valueShift = 16
	valueMask  = 1<<15 - 1
	codeShift  = 8
	codeMask   = 31
	doneMask   = 63 // more is never done with at once
)

// bad is the entry of what no code begins with.
const bad = isOther

// litEntry is the entry of a literal or length, without its code's length.
func litEntry(symbol int) entry {
	switch {
	case symbol < 256:
		return isLiteral | entry(symbol)<<valueShift
	case symbol == 256:
		return isOther | isEnd
	case symbol < 265:
		return entry(symbol-257+3) << valueShift
	case symbol < 285:
		extra := entry(symbol-261) / 4
		base := (4+entry(symbol-261)%4)<<extra + 3
		return base<<valueShift | extra
	case symbol == 285:
		return longest << valueShift
	}
	return bad
}

// distEntry is the entry of a distance.
func distEntry(symbol int) entry {
	switch {
	case symbol < 4:
		return entry(symbol+1) << valueShift
	case symbol < 30:
		extra := entry(symbol-2) / 2
		base := (2+entry(symbol)%2)<<extra + 1
		return base<<valueShift | extra
	}
	return bad
}

// lenEntry is the entry of a code's length.
func lenEntry(symbol int) entry { return entry(symbol) << valueShift }

// codes is what is needed to build tables.
type codes struct {
	lengths [litSymbols + distSymbols]uint8
	sorted  [litSymbols]uint16 // symbols that have a code, shortest first
}

// build makes the table of the code whose symbols have codes of these lengths. As with
// zlib and Go, the code has to be complete, or it has no symbols, or one with one bit.
func (c *codes) build(table []entry, root uint, lengths []uint8, of func(symbol int) entry) error {
	var count [maxCode + 1]int
	for _, n := range lengths {
		count[n&maxCode]++
	}
	count[0] = 0
	most := maxCode
	for most > 0 && count[most] == 0 {
		most--
	}
	code, at := 0, 0
	var next [maxCode + 1]int // where in sorted the symbols of a length go
	for n := 1; n <= most; n++ {
		next[n] = at
		at += count[n]
		code = code<<1 + count[n]
	}
	if code != 1<<most {
		if most > 1 || code > 1 {
			return ErrDamaged
		}
		for i := range table[:1<<root] {
			table[i] = bad
		}
	}
	for symbol, n := range lengths {
		if n > 0 {
			c.sorted[next[n&maxCode]] = uint16(symbol)
			next[n&maxCode]++
		}
	}
	c.fill(table, root, uint(most), lengths, c.sorted[:at], of)
	return nil
}

// fill writes the entries. The next code of the same length is one more than the last;
// the bits of codes come with the highest first, of everything else with the lowest.
func (c *codes) fill(table []entry, root, most uint, lengths []uint8, sorted []uint16, of func(symbol int) entry) {
	code, last := uint16(0), uint(0)
	rest := most - min(root, most) // bits that are looked up behind the root
	prefix, sub := -1, 1<<root
	end := sub
	for _, symbol := range sorted {
		n := uint(lengths[symbol])
		code <<= n - last
		last = n
		reversed := int(bits.Reverse16(code << (16 - n)))
		code++
		e := of(int(symbol))
		if n <= root {
			e += entry(n)<<codeShift + entry(n)
			for i := reversed; i < 1<<root; i += 1 << n {
				table[i] = e
			}
			continue
		}
		if p := reversed & (1<<root - 1); p != prefix {
			prefix, sub = p, end
			end += 1 << rest
			table[p] = isOther | isLonger | entry(sub)<<valueShift | entry(rest)<<codeShift | entry(root)
		}
		e += entry(n-root)<<codeShift + entry(n-root)
		for i := reversed >> root; i < 1<<rest; i += 1 << (n - root) {
			table[sub+i] = e
		}
	}
}
