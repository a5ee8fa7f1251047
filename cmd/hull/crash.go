package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// The one mechanism of named crash points: a daemon whose environment has
// HULL_CRASH=POINT kills itself, as kill -9 would, when its work comes by
// POINT. With HULL_CRASH_ONCE=FILE it does so only while FILE does not exist,
// and makes it first: the daemon that the monitor starts next goes on.
func crashPoints() func(point string) {
	at, once := os.Getenv("HULL_CRASH"), os.Getenv("HULL_CRASH_ONCE")
	if at == "" {
		return nil
	}
	return func(point string) {
		if point != at {
			return
		}
		if once != "" {
			f, err := os.OpenFile(once, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err != nil {
				return
			}
			_ = f.Close()
		}
		fmt.Fprintln(os.Stderr, "hull: crash point", point)
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		select {} // the signal comes
	}
}
