package sys

import (
	"bytes"
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// Entries calls fn with every name in the open directory except "." and "..",
// and with its type (DT_DIR, DT_REG …, or DT_UNKNOWN). It reads 32 KiB at a
// time, so a directory of any size costs no more memory. It stops at fn's first
// error and returns it.
func (fd FD) Entries(fn func(name string, kind uint8) error) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.Getdents(int(fd), buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if n <= 0 {
			return nil
		}
		for b := buf[:n]; len(b) > 0; {
			// struct linux_dirent64: ino 8, off 8, reclen 2, type 1, name
			size := int(binary.NativeEndian.Uint16(b[16:]))
			kind, name := b[18], b[19:size]
			if end := bytes.IndexByte(name, 0); end >= 0 {
				name = name[:end]
			}
			b = b[size:]
			if s := string(name); s != "." && s != ".." {
				if err := fn(s, kind); err != nil {
					return err
				}
			}
		}
	}
}
