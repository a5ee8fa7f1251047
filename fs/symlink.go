package fs

import (
	"context"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// symlink leads to other people's files, or to where a container can be removed.
type symlink struct {
	fusefs.Inode
	e *entry
}

var (
	_ fusefs.NodeReadlinker    = (*symlink)(nil)
	_ fusefs.NodeGetattrer     = (*symlink)(nil)
	_ fusefs.NodeSetattrer     = (*symlink)(nil)
	_ fusefs.NodeGetxattrer    = (*symlink)(nil)
	_ fusefs.NodeSetxattrer    = (*symlink)(nil)
	_ fusefs.NodeListxattrer   = (*symlink)(nil)
	_ fusefs.NodeRemovexattrer = (*symlink)(nil)
)

func (l *symlink) Readlink(context.Context) ([]byte, syscall.Errno) {
	if l.e.alive() != nil {
		return nil, syscall.ESTALE
	}
	return []byte(l.e.row.target(l.e.t, l.e)), 0
}

func (l *symlink) Getattr(ctx context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	if l.e.alive() != nil {
		return syscall.ESTALE
	}
	l.e.attr(ctx, &out.Attr)
	return 0
}

func (l *symlink) Setattr(ctx context.Context, _ fusefs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if l.e.alive() != nil {
		return syscall.ESTALE
	}
	ctx, done := l.e.t.request(ctx)
	defer done()
	if err := l.e.setattr(ctx, in); err != nil {
		return l.e.t.failed(ctx, "setattr", l.e, "", err)
	}
	l.e.attr(ctx, &out.Attr)
	return 0
}

func (l *symlink) Getxattr(context.Context, string, []byte) (uint32, syscall.Errno) {
	return 0, syscall.EOPNOTSUPP
}

func (l *symlink) Setxattr(context.Context, string, []byte, uint32) syscall.Errno {
	return syscall.EOPNOTSUPP
}
func (l *symlink) Listxattr(context.Context, []byte) (uint32, syscall.Errno) { return 0, 0 }
func (l *symlink) Removexattr(context.Context, string) syscall.Errno         { return syscall.EOPNOTSUPP }
