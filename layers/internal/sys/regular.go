package sys

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// OpenRegular opens a regular file to read it. Anything else that has come to lie in
// its place is an error, and nothing waits for it: not a link to somewhere, not a
// fifo that nobody writes to.
func OpenRegular(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &os.PathError{Op: "open", Path: path, Err: errNotRegular}
	}
	if err != nil {
		_ = f.Close() // it was not even read
		return nil, err
	}
	return f, nil
}

// ReadRegular reads a regular file of at most limit bytes.
func ReadRegular(path string, limit int64) ([]byte, error) {
	f, err := OpenRegular(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = &os.PathError{Op: "read", Path: path, Err: errTooLong}
	}
	return text, err
}

var (
	errNotRegular = errors.New("it is not a regular file")
	errTooLong    = errors.New("it is longer than such a file can be")
)
