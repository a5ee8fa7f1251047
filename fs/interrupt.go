package fs

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// request makes the context of a call that may wait: who asks is in it, and it ends only when a signal that ends the
// caller is pending. The kernel interrupts a request for any handled signal, a window's change of size and a child's
// exit among them, and tells no more after the first; so from then on the caller's pending signals are looked at until
// the call is over.
func (t *Tree) request(ctx context.Context) (context.Context, func()) {
	ctx = t.caller(ctx)
	by, _ := By(ctx)
	wait, cancel := context.WithCancel(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(t.ctx, cancel) // hull ends
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		for !ending(by.PID) {
			select {
			case <-over:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
		cancel()
	})
	return wait, func() {
		stop()
		unhook()
		close(over)
		cancel()
	}
}

// caller adds who asks to a request's context, as the kernel tells it.
func (t *Tree) caller(ctx context.Context) context.Context {
	if _, ok := By(ctx); ok {
		return ctx
	}
	c, ok := fuse.FromContext(ctx)
	if !ok {
		return ctx
	}
	by := Credential{UID: c.Uid, GID: c.Gid, PID: c.Pid}
	if by.UID != 0 {
		by.Groups = groups(c.Pid)
	}
	return WithCaller(ctx, by)
}

// groups are a thread's supplementary groups, which FUSE does not tell.
func groups(pid uint32) []uint32 {
	var gs []uint32
	for _, s := range strings.Fields(status(pid)["Groups"]) {
		if g, err := strconv.ParseUint(s, 10, 32); err == nil {
			gs = append(gs, uint32(g))
		}
	}
	return gs
}

// status reads /proc/PID/status; nil if there is none. PID may be a thread's.
func status(pid uint32) map[string]string {
	b, err := os.ReadFile("/proc/" + strconv.FormatUint(uint64(pid), 10) + "/status")
	if pid == 0 || err != nil {
		return nil
	}
	m := map[string]string{}
	for l := range bytes.Lines(b) {
		k, v, _ := strings.Cut(string(l), ":")
		m[k] = strings.TrimSpace(v)
	}
	return m
}

// ending tells whether a signal is pending that ends the caller, or that it has asked for and that means an end. A
// caller that cannot be looked at, in another pid namespace or gone, counts as ending.
func ending(pid uint32) bool {
	s := status(pid)
	if s == nil {
		return true
	}
	return ends(signals(s["SigPnd"])|signals(s["ShdPnd"]), signals(s["SigBlk"]), signals(s["SigIgn"]))
}

func signals(hex string) uint64 {
	n, err := strconv.ParseUint(hex, 16, 64)
	if err != nil {
		return 0
	}
	return n
}

// ends is whether one of the pending signals means an end. Those that say something and are then forgotten do not:
// a child, a window, a timer of a profiler, Go's SIGURG to its own threads, job control.
func ends(pending, blocked, ignored uint64) bool {
	const says = 1<<(syscall.SIGCHLD-1) | 1<<(syscall.SIGCONT-1) | 1<<(syscall.SIGURG-1) | 1<<(syscall.SIGWINCH-1) |
		1<<(syscall.SIGPROF-1) | 1<<(syscall.SIGVTALRM-1) | 1<<(syscall.SIGIO-1) |
		1<<(syscall.SIGSTOP-1) | 1<<(syscall.SIGTSTP-1) | 1<<(syscall.SIGTTIN-1) | 1<<(syscall.SIGTTOU-1)
	return pending&^(blocked|ignored|says) != 0
}
