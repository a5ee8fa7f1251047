package fs

import (
	"context"
	"fmt"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"hull/fs/session"
)

// sessionHandle is a verb file opened read-write. Executing the file opens it too, but without waiting (O_NONBLOCK), and
// asks for a ticket; whoever opens it otherwise has a session on the descriptor, at once. Without waiting, the session
// begins with the first read or write.
type sessionHandle struct {
	*session.Handle
	e    *entry
	wait bool
}

// openSession opens a verb file for a session. A write-only open is EINVAL, but for verbs that take their input that way.
func (f *file) openSession(ctx context.Context, by Credential, flags uint32) (*sessionHandle, error) {
	if flags&syscall.O_ACCMODE == syscall.O_WRONLY {
		return nil, fail(Invalid, "open", f.e.path(), fmt.Sprintf("%s is a program: execute it, read it, or open it read-write.", f.e.path()))
	}
	if err := may(by, f.e, Session); err != nil {
		return nil, err
	}
	if f.e.t.Sessions == nil {
		return nil, fail(Unsupported, "open", f.e.path(), "This hull serves no sessions.")
	}
	v := f.e.verb()
	h := &sessionHandle{Handle: f.e.t.Sessions.Open(v, session.Credential(by)), e: f.e, wait: flags&syscall.O_NONBLOCK == 0}
	if !h.wait {
		return h, nil
	}
	if err := session.Descriptor(v.Kind); err != nil {
		return nil, fail(Invalid, "open", f.e.path(), err.Error())
	}
	ctx, done := f.e.t.request(ctx)
	defer done()
	if err := h.Begin(ctx); err != nil {
		_ = h.Release(ctx)
		return nil, h.why(ctx, "open", err)
	}
	return h, nil
}

// why gives an error of a session's a sentence.
func (h *sessionHandle) why(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return fail(Interrupted, op, h.e.path(), fmt.Sprintf("The %s of %s was interrupted.", op, h.e.path()))
	}
	if KindOf(err) == System {
		return &Error{Op: op, Object: h.e.path(), Kind: System, Sentence: fmt.Sprintf("The session on %s has failed: %v.", h.e.path(), err), Err: err}
	}
	return err
}

// Read reads what the session says. A signal that ends the reader ends the read, any other does not.
func (h *sessionHandle) Read(ctx context.Context, dest []byte, _ int64) (fuse.ReadResult, syscall.Errno) {
	if errno := h.refuse(ctx); errno != 0 {
		return nil, errno
	}
	ctx, done := h.e.t.request(ctx)
	defer done()
	n, err := h.Handle.Read(ctx, dest)
	if err != nil {
		return nil, h.failed(ctx, "read", err)
	}
	return fuse.ReadResultData(dest[:n]), 0
}

// Write says something to the session.
func (h *sessionHandle) Write(ctx context.Context, data []byte, _ int64) (uint32, syscall.Errno) {
	if errno := h.refuse(ctx); errno != 0 {
		return 0, errno
	}
	ctx, done := h.e.t.request(ctx)
	defer done()
	n, err := h.Handle.Write(ctx, data)
	if err != nil {
		return 0, h.failed(ctx, "write", err)
	}
	return uint32(n), 0
}

// refuse answers who reads or writes without a session to be had.
func (h *sessionHandle) refuse(ctx context.Context) syscall.Errno {
	if err := session.Descriptor(h.e.verb().Kind); err != nil {
		return h.e.t.failed(h.e.t.caller(ctx), "read", h.e, "", fail(Invalid, "read", h.e.path(), err.Error()))
	}
	return 0
}

// failed is the errno of what a read or write came to. A session that is over is nothing to tell of.
func (h *sessionHandle) failed(ctx context.Context, op string, err error) syscall.Errno {
	if errno, ok := err.(syscall.Errno); ok && ctx.Err() == nil { //nolint:errorlint // a bare one is the session's own
		return errno
	}
	return h.e.t.failed(ctx, op, h.e, "", h.why(ctx, op, err))
}

// execution opens a verb for more than to be read: by who has executed it, or with what it takes written to it.
func (f *file) execution(ctx context.Context, by Credential, flags uint32) (fusefs.FileHandle, uint32, error) {
	f.e.t.lookups.opened(f.StableAttr().Gen)
	only := flags&syscall.O_ACCMODE == syscall.O_WRONLY
	switch {
	case only && f.e.row.take != nil:
		if err := may(by, f.e, Write); err != nil {
			return nil, 0, err
		}
		return &inputHandle{e: f.e, by: by}, fuse.FOPEN_DIRECT_IO, nil
	case only && f.e.row.stream != nil:
		if err := may(by, f.e, Session); err != nil {
			return nil, 0, err
		}
		return newStreamHandle(f.e, by), fuse.FOPEN_DIRECT_IO, nil
	}
	h, err := f.openSession(ctx, by, flags)
	if err != nil {
		return nil, 0, err
	}
	return h, session.OpenFlags, nil
}
