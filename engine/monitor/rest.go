package monitor

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// fast is how much must have come from a pipe within a restFor for its writer to be called fast.
	fast = 32 << 10
	// restFor is how long such a pipe is then not looked at.
	restFor = time.Millisecond
)

// hurries tells whether a stream's writer is fast, of which these bytes have come now.
func (t *stream) hurries(n int64) bool {
	if now := time.Now(); now.Sub(t.since) > restFor {
		t.since, t.lately = now, 0
	}
	t.lately += n
	return t.lately >= fast
}

// rest lets the pipes of fast writers fill for a moment, made large enough for that. Moving 500 KB at a time and not 8
// costs writer and monitor far fewer turns, and makes a fast writer's log half as dear again. What is slow, and what is
// interactive, never rests.
type rest struct {
	fd      int // a timer, armed while anything rests
	src     *source
	resting []*stream
}

func newRest(l *loop) (*rest, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	r := &rest{fd: fd}
	// By edges, so that it need not be read.
	if r.src, err = l.watch(fd, unix.EPOLLIN|unix.EPOLLET, func(uint32) { r.wake() }); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return r, nil
}

func (r *rest) add(t *stream) {
	if !t.wide {
		t.wide = true
		if _, err := unix.FcntlInt(uintptr(rawFD(t.file)), unix.F_SETPIPE_SZ, moveAtOnce); err != nil {
			t.narrow = true // it would only wait for us
		}
	}
	if t.narrow {
		return
	}
	if len(r.resting) == 0 {
		once := unix.ItimerSpec{Value: unix.Timespec{Nsec: int64(restFor)}}
		if unix.TimerfdSettime(r.fd, 0, &once, nil) != nil {
			return
		}
	}
	t.src.change(0) // that all writers are gone is told even so
	r.resting = append(r.resting, t)
}

func (r *rest) wake() {
	all := r.resting
	r.resting = nil
	for _, t := range all {
		t.listen()
	}
}

func (r *rest) close() {
	if r != nil {
		r.src.drop()
		_ = unix.Close(r.fd)
	}
}
