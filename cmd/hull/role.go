package main

import (
	"errors"
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"

	"hull/layers/credentials"
)

// The roles that are not for people: what an executed file of the tree runs,
// and an opened one, the process that owns containers, the one that serves the tree, and the one that is there while
// the first is followed by another. (One that acts for a user's logins is credentials.Role.)
const (
	roleVerb    = "verb"
	roleLine    = "line"
	roleMonitor = "monitor"
	roleDaemon  = "daemon"
	roleInterim = "interim"
)

// play runs the role that the first argument names and returns its exit status.
func play(role string, args []string) int {
	switch role {
	case roleMonitor, roleDaemon, roleInterim:
		callOneself()
	}
	switch role {
	case roleVerb:
		return runVerb(args[2:])
	case roleLine:
		return runLine()
	case roleMonitor:
		return runMonitor(args[2:])
	case roleDaemon:
		return runDaemon(args[2:])
	case roleInterim:
		return runInterim(args[2:])
	case credentials.Role:
		return credentials.Main(args[2:])
	default:
		if calledByMount(args) {
			return runHelper(args[1:])
		}
		return runCommand(args[1:])
	}
}

// callOneself gives this process its name, by which ps and whoever is told who has a port know it: it is that of the file that
// was executed, exe.
func callOneself() { _ = os.WriteFile("/proc/self/comm", []byte("hull"), 0) } // it is as good without

// sealDescriptors keeps whatever the shell of `hull mount` left open from
// every program that this process starts.
func sealDescriptors() {
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) // Linux 5.11, which hull needs anyway
}

// given is what a process of hull's own is started with: the mount's options and, where it goes on from what an earlier
// monitor held, the number of a descriptor. It says what is wrong, and by whom the role is started.
func given(args []string, least, most int, by string) (o options, handover *os.File, ok bool) {
	sealDescriptors()
	err := errors.New(by)
	if least <= len(args) && len(args) <= most {
		if o, err = decodeOptions([]byte(args[0])); err == nil {
			handover, err = inheritance(args[1:])
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hull:", err)
	}
	return o, handover, err == nil
}
