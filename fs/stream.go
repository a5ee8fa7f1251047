package fs

import (
	"context"
	"fmt"
	"io"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// streamHandle is a verb file that takes all that is written to it as one stream: cat f.tar > load. What is done with it
// begins with the first write and goes on beside the writes. Each write returns when all of it has been taken in, so
// that a failure is that of the write that caused it, or of the next.
//
// Its end is hard to see: a descriptor that is closed may have copies (a shell's own, a child's), and of the last one's
// end nobody waits for the answer. So a close that comes when the end mark of what is read has passed is taken for the
// end and answered with what it all came to; else it is the last close that ends it, and a failure stands in the error
// files and in events. A writer that is interrupted leaves a stream without an end, and so nothing.
type streamHandle struct {
	e  *entry
	by Credential
	in inflow

	mu      sync.Mutex // one write at a time, and one flush
	begun   bool
	at      int64 // where the next write belongs
	refused syscall.Errno
}

func newStreamHandle(e *entry, by Credential) *streamHandle {
	return &streamHandle{e: e, by: by, in: inflow{changed: make(chan struct{})}}
}

func (h *streamHandle) size() (int64, bool) { return 0, true }

func (h *streamHandle) cut(context.Context, int64) error { return nil }

func (h *streamHandle) Read(context.Context, []byte, int64) (fuse.ReadResult, syscall.Errno) {
	return nil, syscall.EBADF
}

// Write waits until all has been taken in.
func (h *streamHandle) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	ctx, done := h.e.t.request(ctx)
	defer done()
	ctx = WithCaller(ctx, h.by) // the opener's authority, whoever writes
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.refused != 0:
		return 0, h.refused
	case !h.begun:
		h.at = off // >> begins where the file seems to end
		if errno := h.begin(); errno != 0 {
			return 0, errno
		}
	case off != h.at:
		return 0, h.refuse(ctx, h.fail(Invalid, "%s takes a stream: what is written must follow what was written before."))
	}
	switch h.in.write(ctx, data) {
	case flowing:
		h.at += int64(len(data))
		return uint32(len(data)), 0
	case interrupted:
		err := h.fail(Interrupted, "What was written to %s was interrupted, and nothing of it is left.")
		h.in.abort(err)
		return 0, h.refuse(ctx, err)
	case over:
	}
	if h.refused = h.in.errno(); h.refused == 0 { // its end mark has passed, and all that came before was good
		return 0, h.refuse(ctx, h.fail(Invalid, "What was written to %s has ended already."))
	}
	return 0, h.refused
}

func (h *streamHandle) fail(k Kind, format string) error {
	return fail(k, h.e.row.name, h.e.path(), fmt.Sprintf(format, h.e.path()))
}

func (h *streamHandle) refuse(ctx context.Context, err error) syscall.Errno {
	h.refused = h.e.t.failed(ctx, h.e.row.name, h.e, "", err)
	return h.refused
}

// begin has the stream read, which is the daemon's work and has the opener's authority.
func (h *streamHandle) begin() syscall.Errno {
	t := h.e.t
	if t.ctx.Err() != nil {
		return syscall.EINTR
	}
	h.begun = true
	h.in.ctx = WithCaller(t.ctx, h.by)
	t.work.Go(func() {
		err := h.e.row.stream(h.in.ctx, t, h.e, &h.in)
		var errno syscall.Errno
		if why := h.in.aborted(); why != nil {
			errno = Errno(why) // told already
		} else {
			errno = t.failed(h.in.ctx, h.e.row.name, h.e, "", err)
		}
		h.in.end(errno)
	})
	return 0
}

// Flush is a close, maybe the last one.
func (h *streamHandle) Flush(ctx context.Context) syscall.Errno {
	ctx, done := h.e.t.request(ctx)
	defer done()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.begun {
		return 0
	}
	if h.in.finish(ctx) != over {
		return 0
	}
	return h.in.errno()
}

// Release is the last close: nothing follows.
func (h *streamHandle) Release(context.Context) syscall.Errno {
	h.in.close()
	return 0
}

// inflow hands what is written to a reader, without keeping any of it.
type inflow struct {
	ctx context.Context //nolint:containedctx // the reader's, which has no other way to be interrupted

	mu      sync.Mutex
	data    []byte // of a write, not read yet
	waits   bool   // the reader has read all there is
	ended   bool   // the reader has seen the end mark
	closed  bool   // nothing more comes
	why     error  // what broke it off
	over    bool   // the reader is done
	result  syscall.Errno
	changed chan struct{} // closed and made anew at each change
}

// flow is what became of waiting.
type flow uint8

const (
	flowing flow = iota
	interrupted
	over
)

// change wakes who waits. The caller holds mu.
func (f *inflow) change() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// wait gives up mu until something changes or ctx ends.
func (f *inflow) wait(ctx context.Context) error {
	changed := f.changed
	f.mu.Unlock()
	defer f.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Read makes it a reader.
func (f *inflow) Read(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.why != nil:
			return 0, f.why
		case len(f.data) > 0:
			n := copy(b, f.data)
			f.data = f.data[n:]
			return n, nil
		case f.closed:
			return 0, io.EOF
		}
		f.waits = true
		f.change()
		err := f.wait(f.ctx)
		f.waits = false
		if err != nil {
			return 0, err
		}
	}
}

// Ended is told that the end mark was read.
func (f *inflow) Ended() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	f.change()
}

// write returns when all of b has been read and more is waited for.
func (f *inflow) write(ctx context.Context, b []byte) flow {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.data, f.waits = b, false
	f.change()
	for !f.over && (len(f.data) > 0 || !f.waits) {
		if f.wait(ctx) != nil {
			f.data = nil // it is the caller's again
			return interrupted
		}
	}
	f.data = nil
	if f.over {
		return over
	}
	return flowing
}

// finish ends it if the end mark has passed, and waits until the reader is done.
func (f *inflow) finish(ctx context.Context) flow {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended && !f.closed {
		f.closed = true
		f.change()
	}
	for !f.over && f.closed {
		if f.wait(ctx) != nil {
			return interrupted
		}
	}
	if f.over {
		return over
	}
	return flowing
}

func (f *inflow) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.change()
}

func (f *inflow) abort(why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.why = why
	f.change()
}

func (f *inflow) aborted() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.why
}

func (f *inflow) end(errno syscall.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over, f.result = true, errno
	f.change()
}

func (f *inflow) errno() syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.result
}
