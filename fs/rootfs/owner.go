package rootfs

import (
	"context"
	"runtime"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// rangeSize is how many ids a container has.
const rangeSize = 65536

// nobody is what ids outside of a range are shown as, as the kernel does.
const nobody = 65534

// shown gives the id inside for one outside.
func shown(id, base uint32) uint32 {
	switch {
	case base == 0:
		return id
	case id >= base && id-base < rangeSize:
		return id - base
	}
	return nobody
}

// outside gives the id outside for one inside; false if the range has none.
func outside(id, base uint32) (int, bool) {
	if base == 0 {
		return int(id), true
	}
	return int(base) + int(id), id < rangeSize
}

// create runs f, which creates something, as the one who asked: the new file belongs to the caller's ids, taken as ids
// inside. An id-mapped upper directory refuses files of owners outside the range with EOVERFLOW, so chown afterwards
// would be too late. Capabilities stay: the kernel has checked permissions already.
func create(ctx context.Context, base uint32, f func() error) error {
	var uid, gid uint32
	if c, ok := fuse.FromContext(ctx); ok {
		uid, gid = c.Uid, c.Gid
	}
	u, ok1 := outside(uid, base)
	g, ok2 := outside(gid, base)
	if !ok1 || !ok2 {
		return unix.EOVERFLOW
	}
	if u == 0 && g == 0 {
		return f()
	}
	runtime.LockOSThread()
	// Without it a change of fsuid from 0 takes CAP_DAC_OVERRIDE and the like from the thread, but not from
	// container root, for whom the kernel has let this through.
	bits, err := unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0)
	if err == nil {
		err = unix.Prctl(unix.PR_SET_SECUREBITS, uintptr(bits)|secbitNoSetuidFixup, 0, 0, 0)
	}
	if err != nil {
		runtime.UnlockOSThread()
		return unix.EPERM
	}
	_, _ = unix.SetfsgidRetGid(g)
	_, _ = unix.SetfsuidRetUid(u)
	failed := f()
	_, _ = unix.SetfsuidRetUid(0)
	_, _ = unix.SetfsgidRetGid(0)
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, uintptr(bits), 0, 0, 0); err != nil {
		return failed // the thread stays locked and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return failed
}

const secbitNoSetuidFixup = 1 << 2

// takesBits tells whether a write by the caller takes set-user-ID bits from a file of that mode.
func takesBits(ctx context.Context, mode uint32) bool {
	c, ok := fuse.FromContext(ctx)
	return ok && c.Uid != 0 && (mode&unix.S_ISUID != 0 || mode&(unix.S_ISGID|unix.S_IXGRP) == unix.S_ISGID|unix.S_IXGRP)
}

// readOnly is what changing a view answers that is read-only.
func (h *held) readOnly() syscall.Errno {
	if h.view.ReadOnly {
		return syscall.EROFS
	}
	return 0
}
