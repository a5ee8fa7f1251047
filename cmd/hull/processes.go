package main

import (
	"bytes"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"hull/engine"
)

// Processes are docker top's table of what runs in a container, with the
// host's ids.
func (c containers) Processes(id string) ([]byte, error) {
	all, err := c.engine.Processes(id)
	if err != nil {
		return nil, c.failed(id, err)
	}
	if len(all) == 0 {
		return nil, nil
	}
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 20, 1, 3, ' ', 0)
	fmt.Fprint(w, "UID\tPID\tPPID\tC\tSTIME\tTTY\tTIME\tCMD\n")
	for _, p := range all {
		fmt.Fprint(w, processLine(p))
	}
	err = w.Flush()
	return b.Bytes(), err
}

func processLine(p engine.Process) string {
	command := "[" + p.Name + "]"
	if len(p.Args) > 0 {
		command = strings.TrimRight(strings.Join(p.Args, " "), " ")
	}
	spent := p.Spent.Milliseconds()
	used, share := spent/1000, spent*100/max(1, time.Since(p.Began).Milliseconds())
	return fmt.Sprintf("%d\t%d\t%d\t%d\t%s\t%s\t%02d:%02d:%02d\t%s\n", p.UID, p.PID, p.Parent, share, beganAt(p.Began),
		terminal(p.Terminal), used/3600, used/60%60, used%60, printable(command))
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

// printable keeps a container from writing lines or control sequences of its own
// into a table: the arguments of processes and the names of files are its to choose.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, s)
}
