package wire

import (
	"encoding/binary"
	"errors"
)

// ErrMalformed is that a frame is not what it should be.
var ErrMalformed = errors.New("malformed frame")

// maxStrings is the length of the longest list: more arguments than fit into the kernel's limit.
const maxStrings = 1 << 18

// encoder builds a frame's body: numbers as varints, strings with their length before them.
type encoder struct{ b []byte }

func (e *encoder) number(n int64) { e.b = binary.AppendVarint(e.b, n) }

func (e *encoder) string(s string) {
	e.b = binary.AppendUvarint(e.b, uint64(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) strings(l []string) {
	e.b = binary.AppendUvarint(e.b, uint64(len(l)))
	for _, s := range l {
		e.string(s)
	}
}

// decoder reads a frame's body. After a mistake everything it gives is empty and end says so.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) number() int64 {
	n, size := binary.Varint(d.b)
	if size <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[size:]
	return n
}

// count reads a length, which can never be more than the bytes that are left.
func (d *decoder) count() int {
	n, size := binary.Uvarint(d.b)
	if size <= 0 || n > uint64(len(d.b)-size) {
		d.fail()
		return 0
	}
	d.b = d.b[size:]
	return int(n)
}

func (d *decoder) string() string {
	n := d.count()
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) strings() []string {
	n := d.count()
	if n > maxStrings {
		d.fail()
	}
	if n == 0 || d.bad {
		return nil
	}
	// Not make(n): a count is bounded by the bytes that are left, but a string takes sixteen.
	var l []string
	for range n {
		l = append(l, d.string())
		if d.bad {
			return nil
		}
	}
	return l
}

func (d *decoder) fail() { d.b, d.bad = nil, true }

// end checks that all was read and nothing was wrong.
func (d *decoder) end() error {
	if d.bad || len(d.b) > 0 {
		return ErrMalformed
	}
	return nil
}
