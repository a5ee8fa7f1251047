package logs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// markEvery is how many records lie between two marks: 24 bytes of memory for each 16 KiB of index.
const markEvery = 1024

// Log reads the log of one container. It is safe for use by many goroutines, and sees the log grow.
type Log struct {
	dir string // where to look for files that are not there yet; empty if they were given

	mu         sync.Mutex
	log, index *os.File
	marks      []mark // marks[i] is the state before record i*markEvery
	state      mark   // before the last record read, whose extent may still grow
	tail       record // that record; a log begins with one implied, of Stdout at 0
	records    int64  // how many have been read
}

// mark is what a reader must know to begin at a record: how many bytes of each stream lie before it.
type mark struct {
	sums   [streams]int64
	offset int64
}

// Open gives the log of the container whose directory is dir. A container that has never run has an empty log, which
// grows when it runs.
func Open(dir string) (*Log, error) {
	l := &Log{dir: dir}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l, l.find()
}

// FromFiles reads a log from its two files, which stay the caller's.
func FromFiles(log, index *os.File) *Log { return &Log{log: log, index: index} }

// find opens the files if they have appeared.
func (l *Log) find() error {
	if l.log != nil || l.dir == "" {
		return nil
	}
	log, err := os.OpenFile(filepath.Join(l.dir, LogFile), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	index, err := os.OpenFile(filepath.Join(l.dir, IndexFile), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return errors.Join(err, log.Close())
	}
	l.log, l.index = log, index
	return nil
}

// Close closes what Open opened.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dir == "" || l.log == nil {
		return nil
	}
	return errors.Join(l.log.Close(), l.index.Close())
}

// Files gives the two open files, for a follower in another process. They are the log's: they must not be closed, and
// live as long as it does. Nil before the container's first run.
func (l *Log) Files() (log, index *os.File) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.find()
	return l.log, l.index
}

// extents is the state of the log at one instant: what has been read of the index, and how far the last extent goes.
type extents struct {
	log, index *os.File
	marks      []mark
	state      mark
	tail       record
	records    int64
	end        int64 // of the tail's extent
}

// size is how many bytes of a stream there are.
func (e *extents) size(s Stream) int64 {
	n := e.state.sums[s]
	if e.tail.stream == s {
		n += e.end - e.state.offset
	}
	return n
}

// refresh reads what the index has grown by. The order makes it right while a writer writes: see the package comment.
// The size is taken once more after the index: no true record lies beyond that.
func (l *Log) refresh() (extents, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.find(); err != nil || l.log == nil {
		return extents{}, err
	}
	end, err := sizeOf(l.log)
	if err != nil {
		return extents{}, err
	}
	buf := window.Get().(*[windowSize]byte)
	defer window.Put(buf)
	for {
		n, err := l.index.ReadAt(buf[:], l.records*recordSize)
		if err != nil && !errors.Is(err, io.EOF) {
			return extents{}, err
		}
		n -= n % recordSize
		if n == 0 {
			break
		}
		limit, err := sizeOf(l.log)
		if err != nil {
			return extents{}, err
		}
		l.scan(buf[:n], limit)
	}
	return extents{l.log, l.index, l.marks, l.state, l.tail, l.records, max(end, l.state.offset)}, nil
}

// scan counts records; limit is a size of the log, taken after they were read.
func (l *Log) scan(b []byte, limit int64) {
	for ; len(b) > 0; b = b[recordSize:] {
		r := decode(b)
		r.offset = clamp(r.offset, l.state.offset, limit)
		if l.tail.stream < streams {
			l.state.sums[l.tail.stream] += r.offset - l.state.offset
		}
		l.state.offset, l.tail = r.offset, r
		if l.records%markEvery == 0 {
			l.marks = append(l.marks, l.state)
		}
		l.records++
	}
}

// clamp makes a broken index an index of something: offsets that rise, within the log.
func clamp(offset, low, high int64) int64 { return max(low, min(offset, high)) }

func sizeOf(f *os.File) (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// Chunk is a piece of output that arrived at one time.
type Chunk struct {
	Time   time.Time // zero if the index that knew is lost
	Stream Stream
	Offset int64 // in the log
	Data   []byte
}
