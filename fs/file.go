package fs

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// file is the node of every regular file. What it does depends on its row's kind, and is in its handles.
type file struct {
	fusefs.Inode
	e *entry
	// read is the text that is open, nil if none is. The kernel asks for a size without saying of which open file, and
	// hardly ever has an inode opened twice.
	read atomic.Pointer[textHandle]
}

var (
	_ fusefs.NodeOpener        = (*file)(nil)
	_ fusefs.NodeGetattrer     = (*file)(nil)
	_ fusefs.NodeSetattrer     = (*file)(nil)
	_ fusefs.NodeFsyncer       = (*file)(nil)
	_ fusefs.NodeAllocater     = (*file)(nil)
	_ fusefs.NodeGetxattrer    = (*file)(nil)
	_ fusefs.NodeSetxattrer    = (*file)(nil)
	_ fusefs.NodeListxattrer   = (*file)(nil)
	_ fusefs.NodeRemovexattrer = (*file)(nil)
)

// sized is a handle that knows better than the snapshot how long the file is.
type sized interface {
	size() (int64, bool)
}

// Getattr takes the size from a handle if one is open: what was fixed at open is as long as it was then, or tar would
// pad or cut it.
func (f *file) Getattr(ctx context.Context, h fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	if f.e.alive() != nil {
		return syscall.ESTALE
	}
	if open := f.read.Load(); h == nil && open != nil {
		h = open
	}
	if s, ok := h.(sized); ok {
		if n, known := s.size(); known {
			f.e.attrSized(&out.Attr, n)
			return 0
		}
	}
	f.e.attr(f.e.t.caller(ctx), &out.Attr)
	return 0
}

// cutter is a handle that can be truncated.
type cutter interface {
	cut(ctx context.Context, size int64) error
}

func (f *file) Setattr(ctx context.Context, h fusefs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	ctx, done := f.e.t.request(ctx)
	defer done()
	err := f.e.alive()
	if err == nil {
		err = f.e.setattr(ctx, in)
	}
	if size, ok := in.GetSize(); ok && err == nil {
		err = f.truncate(ctx, h, int64(size))
	}
	if err != nil {
		return f.e.t.failed(ctx, "setattr", f.e, "", err)
	}
	f.e.attr(ctx, &out.Attr)
	if size, ok := in.GetSize(); ok {
		out.Size = size
	}
	return 0
}

// truncate shortens the file: by a handle, which counts it with its first write, or by the name alone, at once.
func (f *file) truncate(ctx context.Context, h fusefs.FileHandle, size int64) error {
	if c, ok := h.(cutter); ok {
		return c.cut(ctx, size)
	}
	switch f.e.row.kind {
	case ctlRow:
		return nil
	case verbRow:
		if f.e.row.take != nil || f.e.row.stream != nil {
			return nil
		}
	case settingRow, scratchRow:
		by, _ := By(ctx)
		if err := may(by, f.e, Write); err != nil {
			return err
		}
		w := &valueHandle{e: f.e, by: by}
		if err := w.load(); err != nil {
			return err
		}
		return w.resize(ctx, size)
	case directoryRow, collectionRow, textRow, growingRow, linkRow, passthroughRow:
	}
	return f.readOnly("truncate")
}

func (f *file) readOnly(op string) error {
	return fail(Forbidden, op, f.e.path(), fmt.Sprintf("%s shows something and cannot be written to.", f.e.path()))
}

func (f *file) Open(ctx context.Context, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	return f.open(f.e.t.caller(ctx), flags)
}

// open is the one way to a handle. The caller's authority is taken here and stays with the handle.
func (f *file) open(ctx context.Context, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	if f.e.alive() != nil {
		return nil, 0, syscall.ESTALE
	}
	by, _ := By(ctx)
	h, fl, err := f.handle(ctx, by, flags)
	if err != nil {
		return nil, 0, f.e.t.failed(ctx, "open", f.e, "", err)
	}
	return h, fl, 0
}

func (f *file) handle(ctx context.Context, by Credential, flags uint32) (fusefs.FileHandle, uint32, error) {
	const direct = fuse.FOPEN_DIRECT_IO
	const shown = direct | fuse.FOPEN_NOFLUSH // the close of what is only shown needs no answer
	access := flags & syscall.O_ACCMODE
	if access != syscall.O_WRONLY {
		if err := may(by, f.e, Read); err != nil {
			return nil, 0, err
		}
	}
	if access != syscall.O_RDONLY && f.e.row.kind != verbRow {
		if err := may(by, f.e, Write); err != nil {
			return nil, 0, err
		}
	}
	switch f.e.row.kind {
	case verbRow:
		if access != syscall.O_RDONLY {
			return f.execution(ctx, by, flags)
		}
	case ctlRow:
		if access != syscall.O_RDONLY {
			return &ctlHandle{e: f.e, by: by}, direct, nil
		}
	case settingRow, scratchRow:
		if access != syscall.O_RDONLY {
			h := &valueHandle{e: f.e, by: by, add: flags&syscall.O_APPEND != 0, read: access == syscall.O_RDWR}
			if flags&syscall.O_TRUNC != 0 {
				h.clear = true
			} else if err := h.load(); err != nil {
				return nil, 0, err
			}
			f.e.t.scratch.opened(f.e)
			return h, direct, nil
		}
	case growingRow:
		if access != syscall.O_RDONLY {
			return nil, 0, f.readOnly("open")
		}
		g, err := f.e.row.growing(ctx, f.e.t, f.e)
		if err != nil {
			return nil, 0, err
		}
		return &growingHandle{g: g}, shown, nil
	case textRow:
		if access != syscall.O_RDONLY {
			return nil, 0, f.readOnly("open")
		}
	case directoryRow, collectionRow, linkRow, passthroughRow:
		return nil, 0, f.readOnly("open")
	}
	b, err := f.e.opened(ctx)
	if err != nil {
		return nil, 0, err
	}
	text := &textHandle{b: b, of: f}
	f.read.Store(text)
	return text, shown, nil
}

func (f *file) Fsync(context.Context, fusefs.FileHandle, uint32) syscall.Errno { return 0 }

func (f *file) Allocate(context.Context, fusefs.FileHandle, uint64, uint64, uint32) syscall.Errno {
	return syscall.EOPNOTSUPP
}

func (f *file) Getxattr(context.Context, string, []byte) (uint32, syscall.Errno) {
	return 0, syscall.EOPNOTSUPP
}

func (f *file) Setxattr(context.Context, string, []byte, uint32) syscall.Errno {
	return syscall.EOPNOTSUPP
}

func (f *file) Listxattr(context.Context, []byte) (uint32, syscall.Errno) { return 0, 0 }

func (f *file) Removexattr(context.Context, string) syscall.Errno { return syscall.EOPNOTSUPP }

// textHandle is a text as it was when it was opened.
type textHandle struct {
	b  []byte
	of *file
}

func (h *textHandle) size() (int64, bool) { return int64(len(h.b)), true }

func (h *textHandle) Read(_ context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	return fuse.ReadResultData(part(h.b, dest, off)), 0
}

func (h *textHandle) Release(context.Context) syscall.Errno {
	h.of.read.CompareAndSwap(h, nil)
	return 0
}

func (h *textHandle) Write(context.Context, []byte, int64) (uint32, syscall.Errno) {
	return 0, syscall.EBADF
}

// part is what of a text a read asks for.
func part(b, dest []byte, off int64) []byte {
	if off < 0 || off >= int64(len(b)) {
		return nil
	}
	return b[off:min(int64(len(b)), off+int64(len(dest)))]
}

// growingHandle reads a text that gets longer.
type growingHandle struct {
	g    Growing // nil while there is nothing
	once sync.Once
}

func (h *growingHandle) size() (int64, bool) {
	if h.g == nil {
		return 0, false
	}
	return h.g.Size(), true
}

func (h *growingHandle) Read(_ context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if h.g == nil {
		return fuse.ReadResultData(nil), 0
	}
	n, err := h.g.ReadAt(dest, off)
	if n == 0 && err != nil && !ended(err) {
		return nil, Errno(err)
	}
	return fuse.ReadResultData(dest[:n]), 0
}

func (h *growingHandle) Write(context.Context, []byte, int64) (uint32, syscall.Errno) {
	return 0, syscall.EBADF
}

func (h *growingHandle) Release(context.Context) syscall.Errno {
	h.once.Do(func() {
		if h.g != nil {
			h.g.Close()
		}
	})
	return 0
}
