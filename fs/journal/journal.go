// Package journal keeps events as lines of JSON in a ring of files on disk.
//
// Events go to the last of a few segments, files named by a growing number. When that is full a new one is begun and
// the oldest is unlinked, so the ring is bounded. A [Reader] is a view of it as one file that only grows: it begins
// with the oldest line there was when it was opened, keeps its segments even when they are unlinked, and goes on into
// those that are made later, so its offsets never shift under a tail -f.
//
// Lock order: Journal.mu is the only lock, and nothing is called with it held but reads and writes of the segments.
package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Event is one line. Kinds tells what there is.
//
//go:generate go test -run TestDocument -update .
type Event struct {
	Time   time.Time         `json:"time"`
	Type   string            `json:"type"`             // of Kinds
	Action string            `json:"action"`           // of Kinds
	Object string            `json:"object,omitempty"` // the reference, the container's name, the path in the tree
	ID     string            `json:"id,omitempty"`     // of the image or container
	UID    *uint32           `json:"uid,omitempty"`    // who asked, if somebody did
	Cause  string            `json:"cause"`            // of Causes
	Owner  uint32            `json:"owner,omitempty"`  // whose the object is
	Kind   string            `json:"kind,omitempty"`   // of a failure
	Error  string            `json:"error,omitempty"`  // a failure's sentence
	Extra  map[string]string `json:"attributes,omitempty"`
}

const (
	suffix          = ".jsonl"
	defaultSegments = 4
	defaultBytes    = 1 << 20
)

// Options bound a journal.
type Options struct {
	Segments int   // how many files it keeps; 4 if not positive
	Bytes    int64 // how long each may get; 1 MiB if not positive
}

// Journal is a ring of events on disk.
type Journal struct {
	dir string
	o   Options

	mu       sync.Mutex
	segments []*segment // oldest first, never empty while open
	readers  map[*Reader]struct{}
	closed   bool
}

// segment is one file. It is closed when the journal and all readers have let go of it.
type segment struct {
	number uint64
	file   *os.File
	size   int64 // whole lines
	users  int
	views  map[uint32][]span // what others than root and the group see, in parts; nil until one of them looks
}

// Open opens the journal in a directory, making it if need be. A line that a crash cut short is dropped.
func Open(dir string, o Options) (*Journal, error) {
	if o.Segments < 2 {
		o.Segments = defaultSegments
	}
	if o.Bytes <= 0 {
		o.Bytes = defaultBytes
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	j := &Journal{dir: dir, o: o, readers: map[*Reader]struct{}{}}
	numbers, err := numbers(dir)
	if err != nil {
		return nil, err
	}
	for _, n := range numbers {
		s, err := openSegment(dir, n)
		if err != nil {
			return nil, errors.Join(err, j.Close())
		}
		j.push(s)
	}
	if len(j.segments) == 0 {
		if err := j.begin(1); err != nil {
			return nil, err
		}
	}
	return j, nil
}

func numbers(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var ns []uint64
	for _, e := range entries {
		if digits, ok := strings.CutSuffix(e.Name(), suffix); ok {
			if n, err := strconv.ParseUint(digits, 10, 64); err == nil {
				ns = append(ns, n)
			}
		}
	}
	slices.Sort(ns)
	return ns, nil
}

func name(dir string, n uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%08d%s", n, suffix))
}

// openSegment opens a segment that is there and cuts it after its last whole line.
func openSegment(dir string, n uint64) (*segment, error) {
	f, err := os.OpenFile(name(dir, n), os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", f.Name())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	size, err := lastLine(f, st.Size())
	if err == nil && size != st.Size() {
		err = f.Truncate(size)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &segment{number: n, file: f, size: size, users: 1}, nil
}

// lastLine returns the offset behind the last newline before size.
func lastLine(r io.ReaderAt, size int64) (int64, error) {
	var b [4096]byte
	for size > 0 {
		from := max(0, size-int64(len(b)))
		part := b[:size-from]
		if _, err := r.ReadAt(part, from); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		for i := len(part) - 1; i >= 0; i-- {
			if part[i] == '\n' {
				return from + int64(i) + 1, nil
			}
		}
		size = from
	}
	return 0, nil
}

// begin starts a new last segment. Called with mu held, or before anybody else knows the journal.
func (j *Journal) begin(n uint64) error {
	f, err := os.OpenFile(name(j.dir, n), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	j.push(&segment{number: n, file: f, users: 1})
	return nil
}

func (j *Journal) push(s *segment) {
	j.segments = append(j.segments, s)
	for r := range j.readers {
		r.hold(s)
	}
	for len(j.segments) > j.o.Segments {
		old := j.segments[0]
		_ = os.Remove(name(j.dir, old.number)) // one that stays is dropped at the next open
		old.drop()
		j.segments = j.segments[1:]
	}
}

func (s *segment) drop() {
	if s.users--; s.users == 0 {
		s.file.Close()
	}
}

// Append adds an event. An event that cannot be written is the error; what is there stays whole.
func (j *Journal) Append(e Event) error {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e.Time = e.Time.UTC()
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return os.ErrClosed
	}
	last := j.segments[len(j.segments)-1]
	if last.size > 0 && last.size+int64(len(line)) > j.o.Bytes {
		if err := j.begin(last.number + 1); err != nil {
			return err
		}
		last = j.segments[len(j.segments)-1]
	}
	// At an offset of our own, so that a line cut short by a full disk is written over by the next.
	if _, err := last.file.WriteAt(line, last.size); err != nil {
		return err
	}
	last.note(line, last.size)
	last.size += int64(len(line))
	return nil
}

// Last is the latest event of a type; false if there is none.
func (j *Journal) Last(kind string) (e Event, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	mark := []byte(`"type":"` + kind + `"`) // no text in a line has this: its quotes would be escaped
	for i := len(j.segments) - 1; i >= 0; i-- {
		s := j.segments[i]
		b := make([]byte, s.size)
		if _, err := s.file.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
			return e, false
		}
		at := bytes.LastIndex(b, mark)
		if at < 0 {
			continue
		}
		line, _, _ := bytes.Cut(b[bytes.LastIndexByte(b[:at], '\n')+1:], []byte("\n"))
		err := json.Unmarshal(line, &e)
		return e, err == nil
	}
	return e, false
}

// Size is how many bytes of events there are now.
func (j *Journal) Size() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := int64(0)
	for _, s := range j.segments {
		n += s.size
	}
	return n
}

// Close closes the journal. Readers that are open stay usable.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil
	}
	j.closed = true
	for _, s := range j.segments {
		s.drop()
	}
	j.segments = nil
	return nil
}
