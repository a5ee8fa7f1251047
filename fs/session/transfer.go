package session

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Reading from and writing to a session, through the line.

// Read reads what the session says, and waits for it: 0 at the end.
func (h *Handle) Read(ctx context.Context, dest []byte) (int, error) {
	l, err := h.begin(ctx)
	if err != nil {
		return 0, err
	}
	done, err := l.turn(ctx, l.reading, l.near.SetReadDeadline)
	if err != nil {
		return 0, err
	}
	defer done()
	n, err := l.near.Read(dest)
	switch {
	case n > 0:
		return n, nil
	case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil:
		return 0, ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded): // the helper has ended: what it wrote is there already
		return l.rest(dest), nil
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, unix.EIO), errors.Is(err, unix.ECONNRESET), errors.Is(err, os.ErrClosed):
		return 0, nil
	}
	return 0, err
}

// rest reads what is left after the helper's end.
func (l *line) rest(dest []byte) int {
	n := 0
	if raw, err := l.near.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { n, _ = unix.Read(int(fd), dest) })
	}
	l.drained()
	return max(0, n)
}

// Write says something to the session, and waits until it is taken. Once the session is over, it is a broken pipe.
func (h *Handle) Write(ctx context.Context, data []byte) (int, error) {
	l, err := h.begin(ctx)
	if err != nil {
		return 0, err
	}
	done, err := l.turn(ctx, l.writing, l.near.SetWriteDeadline)
	if err != nil {
		return 0, err
	}
	defer done()
	n, err := l.near.Write(data)
	switch {
	case n > 0 || err == nil:
		return n, nil
	case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil:
		return 0, ctx.Err()
	}
	return 0, unix.EPIPE
}

// turn waits for one's turn to read or to write, and sees to it that the end of ctx, or of the helper, ends that.
func (l *line) turn(ctx context.Context, turns chan struct{}, deadline func(time.Time) error) (done func(), err error) {
	select {
	case <-turns:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var mu sync.Mutex
	over := false
	expire := func() {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			_ = deadline(time.Unix(1, 0))
		}
	}
	select {
	case <-l.over: // the deadline stays
	default:
		_ = deadline(time.Time{})
		select {
		case <-l.over: // meanwhile
			expire()
		default:
		}
	}
	stop := context.AfterFunc(ctx, expire)
	return func() {
		stop()
		mu.Lock()
		over = true
		mu.Unlock()
		turns <- struct{}{}
	}, nil
}
