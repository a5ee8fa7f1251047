package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// monitorLife tells this daemon's monitor from any other, also of another day: what a daemon leaves to the next one of
// the same mount is not what it leaves to a new mount.
func monitorLife() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", os.Getppid()))
	if err != nil {
		return ""
	}
	_, rest, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
	fields := strings.Fields(string(rest))
	if len(fields) < 20 {
		return ""
	}
	return fmt.Sprintf("%s %d %s", bytes.TrimSpace(boot), os.Getppid(), fields[19]) // when it was started
}
