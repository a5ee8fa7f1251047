package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The one mechanism of named crash points. A daemon that has HULL_CRASH=FILE in
// its environment looks into FILE at each of them. "POINT" in it, or "POINT N",
// has the daemon kill itself, as kill -9 would, when its work comes by POINT for
// the Nth time from then on. It takes FILE away first: the daemon that the
// monitor starts next goes on. If FILE.passed exists, the names of the points
// that were come by are added to it, one a line.
//
// With "hang POINT" the work that comes by POINT waits there instead, until
// FILE.hung is taken away, which FILE becomes.
func crashPoints() func(point string) {
	file := os.Getenv("HULL_CRASH")
	if file == "" {
		return nil
	}
	c := &crasher{file: file}
	return c.pass
}

type crasher struct {
	file string

	mu     sync.Mutex
	wanted string // what the file said when it was last looked at
	passes int    // of the point it names, since then
}

// pass is called at each point.
func (c *crasher) pass(point string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, err := os.OpenFile(c.file+".passed", os.O_WRONLY|os.O_APPEND, 0); err == nil {
		_, _ = fmt.Fprintln(f, point)
		_ = f.Close()
	}
	text, err := os.ReadFile(c.file)
	if err != nil {
		return
	}
	if wanted := strings.TrimSpace(string(text)); wanted != c.wanted {
		c.wanted, c.passes = wanted, 0
	}
	if c.wanted == "hang "+point && os.Rename(c.file, c.file+".hung") == nil {
		c.mu.Unlock() // others come by points, too
		defer c.mu.Lock()
		for !errors.Is(syscall.Access(c.file+".hung", 0), syscall.ENOENT) {
			time.Sleep(10 * time.Millisecond)
		}
		return
	}
	name, nth := c.wanted, 1
	if i := strings.LastIndexByte(name, ' '); i > 0 { // a point's name may have spaces, but is no number
		if n, err := strconv.Atoi(name[i+1:]); err == nil {
			name, nth = name[:i], n
		}
	}
	if name != point {
		return
	}
	if c.passes++; c.passes < nth || os.Remove(c.file) != nil {
		return
	}
	fmt.Fprintln(os.Stderr, "hull: crash point", point)
	_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	select {} // the signal comes
}
