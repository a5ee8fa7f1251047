package sys

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ProcessStat is what /proc/PID/stat tells of a process.
type ProcessStat struct {
	Name     string // what the kernel calls it: anything of at most 15 bytes, made valid UTF-8
	State    byte   // R, S, D, Z …
	Parent   int
	Terminal int64         // the device's number, 0 if it has none
	Spent    time.Duration // on processors, as user and in the kernel
	Began    time.Duration // after the machine did
	// Status is a zombie's, as wait(2) gives it; 0 of others, and of whoever this process may not look into.
	Status int
}

// ticks is USER_HZ, which is 100 on every architecture that Go runs on.
const ticks = 100

// ReadStat reads it. A process that is gone is os.ErrNotExist or ESRCH.
func ReadStat(pid int) (ProcessStat, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ProcessStat{}, err
	}
	return ParseStat(b)
}

var errStat = errors.New("this is not what /proc/PID/stat holds")

// ParseStat reads "pid (name) state ppid …". The name may hold anything, brackets too: fields count from the last one.
func ParseStat(b []byte) (ProcessStat, error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return ProcessStat{}, errStat
	}
	// Of proc(5)'s fields the third is f[0].
	f := strings.Fields(string(b[end+1:]))
	if len(f) < 20 || len(f[0]) != 1 {
		return ProcessStat{}, errStat
	}
	s := ProcessStat{Name: strings.ToValidUTF8(string(b[open+1:end]), "?"), State: f[0][0]}
	var user, kernel, began int64
	fields := []struct {
		number int
		to     *int64
	}{{7, &s.Terminal}, {14, &user}, {15, &kernel}, {22, &began}}
	var err error
	for _, field := range fields {
		if *field.to, err = strconv.ParseInt(f[field.number-3], 10, 64); err != nil {
			return ProcessStat{}, fmt.Errorf("%w: %w", errStat, err)
		}
	}
	s.Spent, s.Began = time.Duration(user+kernel)*time.Second/ticks, time.Duration(began)*time.Second/ticks
	if s.Parent, err = strconv.Atoi(f[4-3]); err != nil {
		return ProcessStat{}, fmt.Errorf("%w: %w", errStat, err)
	}
	if len(f) > 52-3 {
		s.Status, _ = strconv.Atoi(f[52-3])
	}
	return s, nil
}

// StatusField is a line of /proc/PID/status without its name, which ends in a colon; empty if there is none.
func StatusField(pid int, name string) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return ""
	}
	return field(b, name)
}

// PidOf is the number of the process behind a pidfd, 0 if it is not known, below 0 if it has ended.
func PidOf(pidfd int) int {
	b, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(pidfd))
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(field(b, "Pid:"))
	return n
}

func field(text []byte, name string) string {
	for line := range bytes.Lines(text) {
		if value, ok := bytes.CutPrefix(line, []byte(name)); ok {
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
}

// Children lists this process's children. /proc's own list of them needs a kernel option that not all have.
func Children() []int {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	self := os.Getpid()
	var pids []int
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if s, err := ReadStat(pid); err == nil && s.Parent == self {
			pids = append(pids, pid)
		}
	}
	return pids
}
