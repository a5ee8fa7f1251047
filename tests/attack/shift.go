package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// shift puts one thing after the other in the place of the files that whoever
// starts a session has to read: links into /proc where reading waits or takes
// something away, pipes that nobody writes to, devices that never end,
// directories, circles.
func shift() {
	fmt.Println("shift begins")
	places := []string{"/etc/passwd", "/etc/group", "/usr/bin/true", "/usr/local/bin", "/usr/bin/shifty"}
	whole := map[string][]byte{}
	for _, p := range places {
		whole[p], _ = os.ReadFile(p) // a directory has none
	}
	for round := 0; ; round++ {
		if _, err := os.Stat("/tmp/enough"); err == nil {
			break
		}
		for i, p := range places {
			next := "/usr/next"
			if os.RemoveAll(next) != nil || !put(next, whole[p], (round+i)%18) {
				continue
			}
			_ = os.RemoveAll(p)
			_ = os.Rename(next, p)
		}
	}
	for _, p := range places[:3] {
		_ = os.RemoveAll(p)
		_ = os.WriteFile(p, whole[p], 0o755)
	}
	fmt.Println("shift ends")
}

// put makes one of the things; most are as they should be.
func put(at string, whole []byte, which int) bool {
	var err error
	switch which {
	case 0:
		err = os.Symlink("/proc/kmsg", at)
	case 1:
		err = unix.Mkfifo(at, 0o777)
	case 2:
		err = os.Symlink("/dev/zero", at)
	case 3:
		err = os.Mkdir(at, 0o755)
	case 4:
		err = os.Symlink(at, at)
	case 5:
		err = os.Symlink("/proc/1/root/proc/self/exe", at)
	default:
		err = os.WriteFile(at, whole, 0o755)
	}
	return err == nil
}
