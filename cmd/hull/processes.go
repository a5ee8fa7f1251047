package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
)

// Processes are docker top's table of what runs in a container, with the
// host's ids. A process that ends meanwhile is left out.
func (c containers) Processes(id string) ([]byte, error) {
	pids, err := c.engine.Processes(id)
	if err != nil {
		return nil, c.failed(id, err)
	}
	if len(pids) == 0 {
		return nil, nil
	}
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 20, 1, 3, ' ', 0)
	fmt.Fprint(w, "UID\tPID\tPPID\tC\tSTIME\tTTY\tTIME\tCMD\n")
	for _, pid := range pids {
		if l, ok := processLine(pid); ok {
			fmt.Fprint(w, l)
		}
	}
	err = w.Flush()
	return b.Bytes(), err
}

// ticks is USER_HZ, which is 100 on every architecture that Go runs on:
// proc(5), /proc/pid/stat.
const ticks = 100

func processLine(pid int) (string, bool) {
	dir := "/proc/" + strconv.Itoa(pid)
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return "", false
	}
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return "", false
	}
	// The command in brackets may hold anything, brackets too: fields count from the last one.
	text := string(stat)
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return "", false
	}
	fields := strings.Fields(text[end+1:])
	if len(fields) < 20 {
		return "", false
	}
	command := "[" + text[open+1:end] + "]"
	if line, err := os.ReadFile(dir + "/cmdline"); err == nil && len(line) > 0 {
		command = strings.TrimRight(strings.ReplaceAll(string(line), "\x00", " "), " ")
	}
	spent := (number(fields[11]) + number(fields[12])) * 1000 / ticks // utime and stime, in ms
	began := bootTime().Add(time.Duration(number(fields[19])) * time.Second / ticks)
	used, share := spent/1000, spent*100/max(1, time.Since(began).Milliseconds())
	return fmt.Sprintf("%d\t%d\t%s\t%d\t%s\t%s\t%02d:%02d:%02d\t%s\n", st.Uid, pid, fields[1], share, beganAt(began),
		terminal(number(fields[4])), used/3600, used/60%60, used%60, printable(command)), true
}

// beganAt is ps's STIME: the time of today, else the date.
func beganAt(at time.Time) string {
	if time.Since(at) < 24*time.Hour {
		return at.Format("15:04")
	}
	return at.Format("Jan02")
}

// terminal is ps's TTY of a device number as /proc has it.
func terminal(device int64) string {
	const pts, ptsLast = 136, 143
	major := device >> 8 & 0xfff
	switch minor := device&0xff | device>>12&0xfff00; {
	case device == 0:
		return "?"
	case major >= pts && major <= ptsLast:
		return fmt.Sprintf("pts/%d", minor+(major-pts)<<8)
	default:
		return fmt.Sprintf("%d:%d", major, minor)
	}
}

func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

func bootTime() time.Time {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return time.Now()
	}
	return time.Now().Add(-time.Duration(t.Nano()))
}

// printable keeps a process from writing lines or control sequences of its own
// into the table: its arguments are a container's to choose.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, s)
}
