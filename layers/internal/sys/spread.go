package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// topDir is the flag of a directory whose subdirectories have nothing to do with each
// other (FS_TOPDIR_FL; "T" of chattr).
const topDir = 0x20000

// Spread asks the file system to lay the directories in dir far from each other. What
// is made in one stays near it. ext4, which knows this, otherwise puts the next tree
// right where the last one was removed, and without a journal it takes no inode that
// was freed within the last five minutes: each new file looks through all those of
// its group first, and takes fifteen times as long (seen with Linux 6.18). Other file
// systems refuse, which is no failure.
func Spread(dir *os.File) error {
	return Using(dir, func(fd FD) error {
		flags, err := unix.IoctlGetInt(int(fd), unix.FS_IOC_GETFLAGS)
		if err != nil || flags&topDir != 0 {
			return err
		}
		return unix.IoctlSetPointerInt(int(fd), unix.FS_IOC_SETFLAGS, flags|topDir)
	})
}
