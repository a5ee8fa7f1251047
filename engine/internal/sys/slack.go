package sys

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// How many nanoseconds too late the kernel may wake a thread that sleeps: what it gives everybody, and what hull's own
// processes have.
const (
	usualSlack   = 50_000
	patientSlack = 2_000_000
)

// Patiently calls start, which begins a process of hull's, whose threads may be woken two milliseconds late. Go's runtime has
// one that looks after the others every twenty microseconds as long as anything runs, and that looking was a fifth of
// all that hull did to start a container. A slack that somebody has chosen for this process stays.
func Patiently(start func() error) error { return withSlack(usualSlack, patientSlack, start) }

// Usually calls start, which begins a process that is not hull's own.
func Usually(start func() error) error { return withSlack(patientSlack, usualSlack, start) }

// withSlack calls f on a thread whose slack is to instead of from. A child begins with that of the thread that made it,
// and nobody can change it for a thread that runs without a privilege.
func withSlack(from, to int, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	now, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || now != from || setSlack(to) != nil {
		return f()
	}
	defer func() { _ = setSlack(from) }()
	return f()
}

func setSlack(ns int) error {
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(ns), 0, 0, 0))
}
