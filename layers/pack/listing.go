package pack

import (
	"bytes"
	"slices"
)

// nameCost is what a listing keeps for a name beside its bytes.
const nameCost = 8

// listing is the names of one directory, which a container can make millions of:
// all bytes in one piece.
type listing struct {
	text []byte
	at   []span
}

type span struct{ from, to uint32 } // a listing is smaller than maxNoted

func (l *listing) add(name string) {
	from := len(l.text)
	l.text = append(l.text, name...)
	l.at = append(l.at, span{uint32(from), uint32(len(l.text))})
}

func (l *listing) sort() {
	slices.SortFunc(l.at, func(a, b span) int {
		return bytes.Compare(l.text[a.from:a.to], l.text[b.from:b.to])
	})
}

func (l *listing) name(i int) string { return string(l.text[l.at[i].from:l.at[i].to]) }

func (l *listing) cost() int { return len(l.text) + nameCost*len(l.at) }
