package sys

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Wait reaps a child of this process.
func Wait(pidfd *os.File) error {
	for {
		err := unix.Waitid(unix.P_PIDFD, int(pidfd.Fd()), nil, unix.WEXITED, nil)
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("waitid", err)
		}
	}
}

// Signal sends a signal to a process.
func Signal(pidfd *os.File, signal unix.Signal) error {
	return os.NewSyscallError("pidfd_send_signal", unix.PidfdSendSignal(int(pidfd.Fd()), signal, nil, 0))
}

// Exited reports whether a process has ended, whoever its parent is.
func Exited(pidfd *os.File) bool { return ExitsWithin(pidfd, 0) }

// ExitsWithin reports whether a process has ended, or ends within a time.
func ExitsWithin(pidfd *os.File, within time.Duration) bool {
	by := time.Now().Add(within)
	for {
		poll := []unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, int(max(0, time.Until(by).Milliseconds())))
		if !errors.Is(err, unix.EINTR) {
			return err == nil && n == 1
		}
	}
}

// AwaitExit waits for the end of a process, without a thread of its own. It is
// false if ctx ends before, or if there is no such process.
func AwaitExit(ctx context.Context, pid int) bool {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK) // Go's poller takes it because of that flag
	if err != nil {
		return false
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	defer context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })()
	ended := false
	err = raw.Read(func(fd uintptr) bool {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, _ := unix.Poll(poll, 0)
		ended = n == 1
		return ended
	})
	return err == nil && ended
}

// EnterPIDs makes the children of the calling thread be born in the pid
// namespace of a process, or of an open namespace.
func EnterPIDs(f *os.File) error {
	return os.NewSyscallError("setns", unix.Setns(int(f.Fd()), unix.CLONE_NEWPID))
}

// EnterNetwork moves the calling thread, and what is born of it, into a network namespace.
func EnterNetwork(netns *os.File) error {
	return os.NewSyscallError("setns", unix.Setns(int(netns.Fd()), unix.CLONE_NEWNET))
}

// WithinNetwork calls f in a network namespace: on a thread of its own, which goes there and is thrown away.
func WithinNetwork(netns *os.File, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err := EnterNetwork(netns)
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// LastCapability is the highest capability this kernel has.
func LastCapability() (int, error) { return lastCapability() }

var lastCapability = sync.OnceValues(func() (int, error) {
	b, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
})

// Capabilities is the mask of those this process may use.
func Capabilities() (uint64, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, os.NewSyscallError("capget", err)
	}
	return uint64(data[0].Permitted) | uint64(data[1].Permitted)<<32, nil
}
