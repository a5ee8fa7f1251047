package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

func fuse() error {
	f, err := openFuse()
	if err != nil {
		return err
	}
	return f.Close()
}

func openFuse() (*os.File, error) {
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) {
		return nil, fmt.Errorf("%w (is the fuse module loaded?)", err)
	}
	return f, err
}

// passthrough asks the kernel whether it can read files of a FUSE file system by
// itself: it says so in the first request of a mount, which is nowhere attached.
func passthrough() error {
	device, err := openFuse()
	if err != nil {
		return err
	}
	defer device.Close()
	config, err := unix.Fsopen("fuse", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("fsopen", err)
	}
	defer unix.Close(config)
	for _, o := range [][2]string{{"fd", strconv.Itoa(int(device.Fd()))}, {"rootmode", "40000"}, {"user_id", "0"}, {"group_id", "0"}} {
		if err := unix.FsconfigSetString(config, o[0], o[1]); err != nil {
			return os.NewSyscallError("fsconfig", err)
		}
	}
	if err := unix.FsconfigCreate(config); err != nil {
		return os.NewSyscallError("fsconfig", err)
	}
	const (
		header     = 40      // struct fuse_in_header
		flags      = 12      // in struct fuse_init_in
		flags2     = 16      // there, if flags say that they go on
		goesOn     = 1 << 30 // FUSE_INIT_EXT
		canPass    = 1 << 5  // FUSE_PASSTHROUGH, bit 37 of all
		minRequest = 8192    // FUSE_MIN_READ_BUFFER
	)
	b := make([]byte, minRequest)
	n, err := unix.Read(int(device.Fd()), b)
	if err != nil {
		return os.NewSyscallError("read", err)
	}
	if n < header+flags2+4 || binary.NativeEndian.Uint32(b[header+flags:])&goesOn == 0 ||
		binary.NativeEndian.Uint32(b[header+flags2:])&canPass == 0 {
		return errors.New("this kernel does not have it: files of images are read through the daemon, more slowly")
	}
	return nil
}
