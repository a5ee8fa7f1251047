package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// topDir is the flag of a directory whose subdirectories have nothing to do with each other (FS_TOPDIR_FL; "T" of chattr).
const topDir = 0x20000

// Spread asks the file system to lay the directories in dir far from each other. ext4, which knows this, otherwise puts the next
// one right where the last was removed, and without a journal it takes no inode that was freed within the last five minutes:
// of containers that come and go each then takes twice as long after a minute as the first (seen with Linux 6.18). Other
// file systems refuse, which is a failure of nothing but this.
func Spread(dir string) error {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil && flags&topDir == 0 {
		err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags|topDir)
	}
	return os.NewSyscallError("ioctl", err)
}
