package fs

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// inputHandle is a verb file that takes what it needs by being written to. Lines are answered in write(2), like a ctl's
// commands; unlike those they may be secret, so nothing of them is kept or shown.
type inputHandle struct {
	e  *entry
	by Credential

	mu      sync.Mutex
	refused syscall.Errno // after an error this open file takes no more
}

func (h *inputHandle) size() (int64, bool) { return 0, true }

func (h *inputHandle) cut(context.Context, int64) error { return nil }

func (h *inputHandle) Read(context.Context, []byte, int64) (fuse.ReadResult, syscall.Errno) {
	return nil, syscall.EBADF
}

// Write takes whole lines, and what is left as one more.
func (h *inputHandle) Write(ctx context.Context, data []byte, _ int64) (uint32, syscall.Errno) {
	ctx, done := h.e.t.request(ctx)
	defer done()
	ctx = WithCaller(ctx, h.by) // the opener's authority, whoever writes
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refused != 0 {
		return 0, h.refused
	}
	if err := h.take(ctx, data); err != nil {
		h.refused = h.e.t.failed(ctx, h.e.row.name, h.e, "", err)
		return 0, h.refused
	}
	h.e.t.succeeded(h.e)
	return uint32(len(data)), 0
}

func (h *inputHandle) take(ctx context.Context, data []byte) error {
	if err := h.e.alive(); err != nil {
		return err
	}
	if bytes.IndexByte(data, 0) >= 0 || len(data) > maxLine {
		return fail(Invalid, h.e.row.name, h.e.label(), fmt.Sprintf("What was written to %s is no line of text.", h.e.path()))
	}
	for text := range bytes.Lines(data) {
		text = bytes.TrimRight(text, "\r\n")
		if len(text) == 0 {
			continue
		}
		if err := h.e.row.take(ctx, h.e.t, h.e, string(text)); err != nil {
			return err
		}
	}
	return nil
}
