package verb

import (
	"bytes"
	"time"

	"hull/engine/logs"
)

// stamper begins each line with the time at which it was begun. Lines of the two streams may come in pieces between
// each other.
type stamper struct {
	within [2]bool // of each stream, whether its last line is still going on
}

// stampFormat is docker's: nine digits of a second, so that lines are aligned.
const stampFormat = "2006-01-02T15:04:05.000000000Z07:00"

func (s *stamper) stamp(c logs.Chunk) []byte {
	var b bytes.Buffer
	within := &s.within[min(int(c.Stream), 1)]
	prefix := c.Time.UTC().Format(stampFormat) + " "
	if c.Time.IsZero() {
		prefix = time.Unix(0, 0).UTC().Format(stampFormat) + " "
	}
	for line := range bytes.Lines(c.Data) {
		if !*within {
			b.WriteString(prefix)
		}
		b.Write(line)
		*within = line[len(line)-1] != '\n'
	}
	return b.Bytes()
}
