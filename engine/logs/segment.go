package logs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The files of the first segment in a container's directory. Those of others have the segment's number behind a dot.
const (
	LogFile   = "log"
	IndexFile = "index"
)

// Segment is one piece of a log, open for reading.
type Segment struct {
	Number     int64
	Log, Index *os.File
}

// Close closes the two files.
func (s Segment) Close() error { return errors.Join(s.Log.Close(), s.Index.Close()) }

// OpenSegment opens a segment of the log in a directory; an error that is fs.ErrNotExist if there is none of that number,
// or none any more.
func OpenSegment(dir string, number int64) (Segment, error) {
	log, err := os.OpenFile(filepath.Join(dir, nameOf(LogFile, number)), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return Segment{}, err
	}
	index, err := os.OpenFile(filepath.Join(dir, nameOf(IndexFile, number)), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if removed(log) {
			return Segment{}, errors.Join(err, log.Close())
		}
		index, err = os.Open(os.DevNull) // the disk has lost it: the bytes are still there, all of one stream
	}
	if err != nil {
		return Segment{}, errors.Join(err, log.Close())
	}
	return Segment{number, log, index}, nil
}

func nameOf(file string, number int64) string {
	if number == 0 {
		return file
	}
	return file + "." + strconv.FormatInt(number, 10)
}

// numberOf is the number of a segment of which a file has this name.
func numberOf(file, name string) (int64, bool) {
	if name == file {
		return 0, true
	}
	digits, ok := strings.CutPrefix(name, file+".")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil && n > 0 && nameOf(file, n) == name
}

// numbers lists the segments in a directory, the oldest first.
func numbers(dir string) ([]int64, error) {
	names, err := namesIn(dir)
	if err != nil {
		return nil, err
	}
	var all []int64
	for _, name := range names {
		if n, ok := numberOf(LogFile, name); ok {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all, nil
}

// namesIn lists a directory; one that is not there has none.
func namesIn(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }()
	return d.Readdirnames(-1)
}

// Trim removes the oldest segments of the log in a directory, if it has more than it may, and what an earlier Trim, which
// was killed, has left of them.
func Trim(dir string, b Bounds) error {
	all, err := numbers(dir)
	if err != nil || len(all) == 0 {
		return err
	}
	below := b.oldest(all[len(all)-1])
	names, err := namesIn(dir)
	if err != nil {
		return err
	}
	for _, file := range []string{LogFile, IndexFile} { // who sees a log finds its index, or that the log is removed
		for _, name := range names {
			n, ok := numberOf(file, name)
			if !ok || n >= below {
				continue
			}
			if e := os.Remove(filepath.Join(dir, name)); e != nil && !errors.Is(e, fs.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}
	}
	return err
}

// removed tells whether an open file has no name any more.
func removed(f *os.File) bool {
	var st unix.Stat_t
	err := unix.Fstat(rawFD(f), &st)
	return err == nil && st.Nlink == 0
}

func sizeOf(f *os.File) (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}
