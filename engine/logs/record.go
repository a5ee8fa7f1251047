package logs

import "encoding/binary"

// Stream says which of a container's outputs bytes came from.
type Stream uint8

// The streams. A terminal's output is Stdout.
const (
	Stdout Stream = iota
	Stderr
	streams

	// sealed is the stream of a seal, the last record of a finished segment: its offset is the log's length, and its time
	// is how many of these bytes are Stderr's.
	sealed Stream = 0xff
)

// recordSize divides every power of two from 16 on: no record lies across two pages or blocks.
const recordSize = 16

// record says that the log's bytes from offset on are of stream; the first came at time, in nanoseconds since 1970.
type record struct {
	time   int64
	stream Stream
	offset int64
}

const offsetBits = 56

func (r record) encode() [recordSize]byte {
	var b [recordSize]byte
	binary.LittleEndian.PutUint64(b[:], uint64(r.time))
	binary.LittleEndian.PutUint64(b[8:], uint64(r.stream)<<offsetBits|uint64(r.offset))
	return b
}

func decode(b []byte) record {
	v := binary.LittleEndian.Uint64(b[8:])
	return record{
		time:   int64(binary.LittleEndian.Uint64(b)),
		stream: Stream(v >> offsetBits),
		offset: int64(v & (1<<offsetBits - 1)),
	}
}
