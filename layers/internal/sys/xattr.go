package sys

import (
	"bytes"
	"errors"

	"golang.org/x/sys/unix"
)

// Setxattr sets an extended attribute of the open file. An FD opened O_PATH
// cannot carry it (EBADF).
func (fd FD) Setxattr(name string, value []byte) error {
	return unix.Fsetxattr(int(fd), name, value, 0)
}

// Removexattr removes an attribute; that there was none is no error.
func (fd FD) Removexattr(name string) error {
	err := unix.Fremovexattr(int(fd), name)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return err
}

// Getxattr reads an attribute; ok is false where the file has none.
func (fd FD) Getxattr(name string) (value []byte, ok bool, err error) {
	size := 64
	for {
		buf := make([]byte, size)
		n, err := unix.Fgetxattr(int(fd), name, buf)
		switch {
		case err == nil:
			return buf[:n], true, nil
		case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP):
			return nil, false, nil
		case errors.Is(err, unix.ERANGE) && size < 1<<16: // XATTR_SIZE_MAX is 64 KiB
			size = 1 << 16
		default:
			return nil, false, err
		}
	}
}

// Listxattr lists the names of the open file's attributes.
func (fd FD) Listxattr() ([]string, error) {
	size := 1024
	for {
		buf := make([]byte, size)
		n, err := unix.Flistxattr(int(fd), buf)
		if errors.Is(err, unix.ERANGE) && size < 1<<16 {
			size = 1 << 16
			continue
		}
		if errors.Is(err, unix.ENOTSUP) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		var names []string
		for _, name := range bytes.Split(buf[:n], []byte{0}) {
			if len(name) > 0 {
				names = append(names, string(name))
			}
		}
		return names, nil
	}
}
