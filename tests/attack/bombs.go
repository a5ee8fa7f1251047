package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// eat takes memory until something ends it.
func eat() {
	fmt.Println("eating")
	var all [][]byte
	for {
		b := make([]byte, 1<<20)
		for i := range b {
			b[i] = byte(i)
		}
		all = append(all, b)
		if len(all)%1024 == 0 {
			fmt.Println(len(all), "MiB")
		}
	}
}

// fork makes processes which make processes, all of which stay. A copy of a Go
// process has one thread only: it must do nothing but this.
func fork() {
	fmt.Println("forking")
	for {
		_, _, _ = unix.RawSyscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0)
	}
}

// whoami says whose rights this has.
func whoami() {
	uid, caps := rights()
	fmt.Printf("%d %x\n", uid, caps)
}

// rights are this process's user and its capabilities; all of them if that cannot be known.
func rights() (uid int, caps uint64) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, ^uint64(0)
	}
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "CapEff:"); ok {
			if _, err := fmt.Sscanf(v, "%x", &caps); err != nil {
				return 0, ^uint64(0)
			}
		}
	}
	return os.Geteuid(), caps
}
