package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// forgetPeak lets the kernel count a process's peak of memory anew.
func forgetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// peakOf is the most memory that a process has had in use since then.
func peakOf(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0 // it has ended, and its command has failed
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var kilobytes int64
	if _, err := fmt.Sscan(rest, &kilobytes); err != nil {
		return 0
	}
	return kilobytes << 10
}

// processes remembers the largest of the processes it ran.
type processes struct{ most int64 }

func (p *processes) run(c *exec.Cmd) error {
	_, err := output(c)
	if usage, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok {
		p.most = max(p.most, usage.Maxrss<<10)
	}
	return err
}

func (p *processes) peak() int64 { return p.most }
