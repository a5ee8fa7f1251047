package logs

import (
	"errors"
	"io/fs"
	"os"
	"sort"
	"sync"
	"time"
)

// ErrDropped is that what a reader asks for was removed, because the log had grown beyond its bounds, and is held no more.
var ErrDropped = errors.New("this part of the log has been removed, to keep the log within its bounds")

// Log reads the log of one container. It is safe for use by many goroutines, and sees the log grow.
//
// A segment that is removed meanwhile stays readable until a later one has been read, so that whoever reads on from the
// beginning gets everything; but of such segments no more are held than there were when the Log was opened, so that who
// has stopped reading holds no more of the disk than one log's worth. What was let go of is ErrDropped, and the offsets
// of all else stay.
type Log struct {
	dir string // where to look for further segments; empty if they are given

	mu    sync.Mutex
	parts []*part
	first int // how many there were at first
	at    int // the part that was read last
}

// Chunk is a piece of output that arrived at one time.
type Chunk struct {
	Time   time.Time // zero if the index that knew is lost
	Stream Stream
	Offset int64 // in the log
	Data   []byte
}

// Open gives the log of the container whose directory is dir. A container that has never run has an empty log, which
// grows when it runs.
func Open(dir string) (*Log, error) {
	l := &Log{dir: dir}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.update(); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// Follow reads a log from segments, which are its own from now on, and from those that Add gives it. Each is closed when
// it has been passed.
func Follow(segments []Segment) *Log {
	l := &Log{}
	for _, s := range segments {
		l.add(s)
	}
	return l
}

// Add gives it a further segment, which is its own.
func (l *Log) Add(s Segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(s)
}

func (l *Log) add(s Segment) {
	p := &part{Segment: s, last: true, length: -1}
	if n := len(l.parts); n > 0 {
		before := l.parts[n-1]
		before.last = false
		length, err := before.size()
		if err != nil {
			length = before.state.offset
		}
		before.length, p.start = length, before.start+length
	}
	l.parts = append(l.parts, p)
}

// Close closes what it has open.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.close()
}

func (l *Log) close() error {
	var err error
	for _, p := range l.parts {
		if !p.dropped {
			p.dropped = true
			err = errors.Join(err, p.Close())
		}
	}
	return err
}

// update finds the segments that have been added.
func (l *Log) update() error {
	if l.dir == "" {
		return nil
	}
	if len(l.parts) == 0 {
		return l.find()
	}
	for grown := false; ; grown = true {
		last := l.parts[len(l.parts)-1]
		s, err := OpenSegment(l.dir, last.Number+1)
		if errors.Is(err, fs.ErrNotExist) && !last.dropped && removed(last.Log) { // they have overtaken this reader
			s, err = l.after(last.Number)
		}
		if errors.Is(err, fs.ErrNotExist) {
			if grown {
				l.release()
			}
			return nil
		}
		if err != nil {
			return err
		}
		l.add(s)
	}
}

// find opens all segments that are there.
func (l *Log) find() error {
	all, err := numbers(l.dir)
	for _, n := range all {
		s, e := OpenSegment(l.dir, n)
		switch {
		case errors.Is(e, fs.ErrNotExist): // removed since, and so are those before it
			err = errors.Join(err, l.close())
			l.parts = nil
		case e != nil:
			return errors.Join(err, e)
		default:
			l.add(s)
		}
	}
	l.first = max(1, len(l.parts))
	return err
}

// after opens the oldest segment above a number.
func (l *Log) after(number int64) (Segment, error) {
	all, err := numbers(l.dir)
	if err != nil {
		return Segment{}, err
	}
	for _, n := range all {
		if n <= number {
			continue
		}
		s, err := OpenSegment(l.dir, n)
		if !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
	}
	return Segment{}, fs.ErrNotExist
}

// release lets go of removed segments: those that have been passed, and the oldest of those that are too many.
func (l *Log) release() {
	var held []*part
	for i, p := range l.parts[:len(l.parts)-1] {
		switch {
		case p.dropped || !removed(p.Log):
		case i < l.at:
			l.drop(p)
		default:
			held = append(held, p)
		}
	}
	for _, p := range held[:max(0, len(held)-l.first)] {
		l.drop(p)
	}
}

// drop closes a part that is not the last.
func (l *Log) drop(p *part) {
	_, _ = p.sizeFor(Stdout) // its length is still counted
	_, _ = p.size()
	p.dropped = true
	_ = p.Close()
}

// Take gives the segments that hold what is from an offset on, and where in the first of them that is, for a follower in
// another process. They are the caller's, and the Log is closed. None before the container's first run.
func (l *Log) Take(offset int64) (all []Segment, rest int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { err = errors.Join(err, l.close()) }()
	if err := l.update(); err != nil || len(l.parts) == 0 {
		return nil, 0, err
	}
	i := l.holding(offset)
	for _, p := range l.parts[i:] {
		if p.dropped {
			continue
		}
		p.dropped = true
		all = append(all, p.Segment)
	}
	return all, offset - l.parts[i].start, nil
}

// holding is the part in which an offset lies. An offset where one ends and another begins lies in the later one.
func (l *Log) holding(offset int64) int {
	return max(0, sort.Search(len(l.parts), func(i int) bool { return l.parts[i].start > offset })-1)
}

// Number is that of its first segment: when it has changed, another Log has other bytes at an offset. 0 if there is none.
func (l *Log) Number() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.parts) == 0 {
		return 0
	}
	return l.parts[0].Number
}

// size is how many bytes there are, of both streams.
func (l *Log) size() (int64, error) {
	if err := l.update(); err != nil || len(l.parts) == 0 {
		return 0, err
	}
	last := l.parts[len(l.parts)-1]
	n, err := last.size()
	return last.start + n, err
}

// passed notes that a part is being read, and lets go of those before it that nobody else has.
func (l *Log) passed(i int) {
	if i <= l.at {
		return
	}
	l.at = i
	for _, p := range l.parts[:i] {
		if !p.dropped && (l.dir == "" || removed(p.Log)) {
			l.drop(p)
		}
	}
}

// rawFD gives a file's number; File.Fd would make it blocking.
func rawFD(f *os.File) int {
	n := -1
	if c, err := f.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { n = int(fd) })
	}
	return n
}
