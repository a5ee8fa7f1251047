package engine

import (
	"os"

	"golang.org/x/sys/unix"
)

// dup duplicates a file; nil of nil. The duplicate shares the description, so also whether it blocks.
func dup(f *os.File) (*os.File, error) {
	if f == nil {
		return nil, nil
	}
	c, err := f.SyscallConn() // Fd would make it blocking, for every holder of the description
	if err != nil {
		return nil, err
	}
	var fd int
	var failed error
	err = c.Control(func(old uintptr) { fd, failed = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) })
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// blockingPipe makes a pipe whose ends block, as a command expects of its stdio; os.Pipe's do not.
func blockingPipe() (read, write *os.File, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	return os.NewFile(uintptr(p[0]), "pipe"), os.NewFile(uintptr(p[1]), "pipe"), nil
}
