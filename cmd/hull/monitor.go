package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"

	"golang.org/x/sys/unix"

	"hull/engine/monitor"
)

// runMonitor is the process that owns the containers of a mount.
func runMonitor(args []string) int {
	o, handover, ok := given(args, 1, 2, "the monitor is started by hull mount")
	if !ok {
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	// The monitor's working directory must not keep a disk of the caller's busy.
	if err := os.Chdir("/"); err != nil {
		fmt.Fprintln(os.Stderr, "hull:", err)
		return 1
	}
	mine := monitor.Options{
		Run:      o.Run,
		Handover: handover,
		Again: func(payload []byte) ([]string, error) {
			next, err := decodeOptions(payload)
			if err != nil {
				return nil, err
			}
			again := o // the mount stays as it is, only the program changes
			again.Program = next.Program
			return []string{again.Program, roleMonitor, string(again.encode())}, nil
		},
		Daemon: func(payload []byte) (*exec.Cmd, error) {
			cmd := self(roleDaemon, o)
			if payload != nil { // a later mount, perhaps by a newer hull
				next, err := decodeOptions(payload)
				if err != nil {
					return nil, err
				}
				next.Life = o.Life
				o = next
				cmd = self(roleDaemon, o)
				cmd.Path = o.Program
			}
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
			return cmd, nil
		},
		Abandon: func() { dropDead(o.Dir) },
		Logger:  o.logger(os.Stderr).With("role", roleMonitor),
	}
	if handover == nil {
		mine.Front = os.NewFile(monitor.FrontFD, "front")
	}
	if err := monitor.Serve(ctx, mine); err != nil {
		if handover != nil { // there is nobody else to tell
			mine.Logger.Error("the monitor ends", "err", err)
		}
		return 1 // hull mount has been told the sentence
	}
	return 0
}

// inheritance is what an earlier monitor held, if there was one: whoever starts this one gives the descriptor's number.
func inheritance(args []string) (*os.File, error) {
	if len(args) == 0 {
		return nil, nil
	}
	number, err := strconv.ParseUint(args[0], 10, 31)
	if err != nil {
		return nil, fmt.Errorf("the monitor is to go on from %q, which is no descriptor: %w", args[0], err)
	}
	return os.NewFile(uintptr(number), "handover"), nil
}

// dropDead takes a mount away whose daemon is gone. One that answers is
// somebody else's: this monitor's daemon found the place taken.
func dropDead(dir string) {
	var st unix.Stat_t
	if errors.Is(unix.Stat(dir, &st), unix.ENOTCONN) {
		_ = unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	}
}
