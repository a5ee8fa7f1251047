package sys

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Peer opens the other end of a terminal, through its master: no name is
// looked up (Linux 4.13).
func Peer(master *os.File) (*os.File, error) {
	unlock := int32(0)
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, master.Fd(), unix.TIOCSPTLCK, uintptr(unsafe.Pointer(&unlock))); e != 0 {
		return nil, os.NewSyscallError("TIOCSPTLCK", e)
	}
	fd, _, e := unix.Syscall(unix.SYS_IOCTL, master.Fd(), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if e != 0 {
		return nil, os.NewSyscallError("TIOCGPTPEER", e)
	}
	return os.NewFile(fd, "terminal"), nil
}

// Resize sets the size of a terminal, in characters.
func Resize(terminal *os.File, rows, cols uint16) error {
	size := &unix.Winsize{Row: rows, Col: cols}
	return os.NewSyscallError("TIOCSWINSZ", unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, size))
}
