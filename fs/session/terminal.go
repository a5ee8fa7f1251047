package session

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// The size of a terminal whose size nobody has set.
const (
	lineRows = 24
	lineCols = 80
)

// openTerminal makes a terminal of the host's that belongs to a user: raw, because what is typed on it goes to another
// terminal, which does what terminals do.
func openTerminal(by Credential) (master, slave *os.File, path string, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, "", &os.PathError{Op: "open", Path: "/dev/ptmx", Err: err}
	}
	peer, number, err := peerOf(fd)
	if err == nil {
		if err = prepare(peer, by); err != nil {
			_ = unix.Close(peer)
		}
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, nil, "", err
	}
	path = "/dev/pts/" + strconv.Itoa(number)
	return os.NewFile(uintptr(fd), "/dev/ptmx"), os.NewFile(uintptr(peer), path), path, nil
}

// peerOf opens the other end of a master, in Go's poller.
func peerOf(master int) (peer, number int, err error) {
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return -1, 0, os.NewSyscallError("TIOCSPTLCK", err)
	}
	if number, err = unix.IoctlGetInt(master, unix.TIOCGPTN); err != nil {
		return -1, 0, os.NewSyscallError("TIOCGPTN", err)
	}
	const flags = unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC | unix.O_NONBLOCK
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, flags)
	if errno != 0 {
		return -1, 0, os.NewSyscallError("TIOCGPTPEER", errno)
	}
	return int(n), number, nil
}

func prepare(peer int, by Credential) error {
	t, err := unix.IoctlGetTermios(peer, unix.TCGETS)
	if err != nil {
		return os.NewSyscallError("TCGETS", err)
	}
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(peer, unix.TCSETS, t); err != nil {
		return os.NewSyscallError("TCSETS", err)
	}
	size := &unix.Winsize{Row: lineRows, Col: lineCols}
	if err := unix.IoctlSetWinsize(peer, unix.TIOCSWINSZ, size); err != nil {
		return os.NewSyscallError("TIOCSWINSZ", err)
	}
	err = errors.Join(unix.Fchown(peer, int(by.UID), int(by.GID)), unix.Fchmod(peer, 0o600))
	return os.NewSyscallError("fchown", err)
}
