package verb

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

// caught tells whether a mask of /proc's status has a signal.
func caught(mask string, s syscall.Signal) bool {
	n, err := strconv.ParseUint(mask, 16, 64)
	return err == nil && n&(1<<(s-1)) != 0
}

// state is a process's state as ps shows it.
func state(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile("/proc/" + itoa(pid) + "/stat")
	check(t, err)
	_, rest, _ := strings.Cut(string(b), ") ")
	return rest[:1]
}
