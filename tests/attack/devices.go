package main

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// node is a device by its numbers.
type node struct {
	kind         uint32
	major, minor uint32
}

func nodes() map[string]node {
	return map[string]node{
		"mem": {unix.S_IFCHR, 1, 1}, "kmsg": {unix.S_IFCHR, 1, 11}, "port": {unix.S_IFCHR, 1, 4}, "fuse": {unix.S_IFCHR, 10, 229},
		"tun": {unix.S_IFCHR, 10, 200}, "loop-control": {unix.S_IFCHR, 10, 237}, "kvm": {unix.S_IFCHR, 10, 232},
		"tty1": {unix.S_IFCHR, 4, 1}, "disk": {unix.S_IFBLK, 8, 0}, "vda": {unix.S_IFBLK, 254, 0}, "loop0": {unix.S_IFBLK, 7, 0},
		"whiteout": {unix.S_IFCHR, 0, 0},
	}
}

// devices are attempts to make devices, and to open those that an image brings.
func devices() map[string]attempt {
	m := map[string]attempt{}
	for name, n := range nodes() {
		m["mknod-"+name] = func() error {
			return unix.Mknod("/tmp/made-"+name, n.kind|0o666, int(unix.Mkdev(n.major, n.minor)))
		}
		if n.major == 0 { // which is nothing that can be opened
			continue
		}
		m["mknod-dev-"+name] = func() error {
			return unix.Mknod("/dev/made-"+name, n.kind|0o666, int(unix.Mkdev(n.major, n.minor)))
		}
		m["dev-"+name] = func() error { return opening("/dev/" + name) }
		m["image-"+name] = func() error { return opening("/attack/dev/" + name) }
	}
	// A terminal of the container's own, to type into as if somebody had.
	m["tiocsti"] = func() error { return typing(unix.TIOCSTI) }
	m["tiocsti-own"] = func() error { // the terminal it was started on, if there is one
		f, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
		if err != nil {
			return errors.Unwrap(err)
		}
		defer f.Close()
		c := [2]byte{'x'}
		return raw(unix.SYS_IOCTL, f.Fd(), unix.TIOCSTI, uintptr(unsafe.Pointer(&c)))
	}
	m["tioclinux"] = func() error { return typing(0x541c) }
	return m
}

func opening(path string) error {
	for _, flags := range []int{unix.O_RDONLY, unix.O_WRONLY, unix.O_RDWR} {
		fd, err := unix.Open(path, flags|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err == nil {
			_ = unix.Close(fd)
			return nil
		}
		if flags == unix.O_RDWR {
			return err
		}
	}
	return nil
}

func typing(request uintptr) error {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return fmt.Errorf("no terminal: %w", err)
	}
	defer master.Close()
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		return fmt.Errorf("no terminal: %w", err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return fmt.Errorf("no terminal: %w", err)
	}
	defer slave.Close()
	c := [2]byte{'x'}
	_, _, e := unix.Syscall(unix.SYS_IOCTL, slave.Fd(), request, uintptr(unsafe.Pointer(&c)))
	if e == 0 {
		return nil
	}
	if !errors.Is(e, unix.EPERM) { // of a terminal that is not one's own one has it anyhow, but later
		return fmt.Errorf("only: %w", e)
	}
	return e
}
