package layers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// takeLock locks the store for this process. The lock is a POSIX one, which
// belongs to the process and not to the open file: containers' inits, which
// are cloned from the daemon and for a moment hold copies of its descriptors,
// must not keep a dead daemon's store locked. (For the same reason nothing else
// may open this file: closing any descriptor of it would drop the lock.)
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		lock := unix.Flock_t{Type: unix.F_WRLCK}
		err = unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lock)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) {
			_ = f.Close()
			return nil, fmt.Errorf("locking the store: %w", err)
		}
		holder := unix.Flock_t{Type: unix.F_WRLCK}
		if unix.FcntlFlock(f.Fd(), unix.F_GETLK, &holder) == nil && holder.Type == unix.F_UNLCK {
			continue // let go between the two calls
		}
		_ = f.Close()
		return nil, heldBy(path, holder.Pid)
	}
}

func heldBy(path string, by int32) error {
	return failf("open", path, Busy,
		"another hull (process %d) uses this store; a store has one daemon, so unmount the other or choose another --store", by)
}

// InUse fails if another process has the store in a directory open now. Who wants to open it asks before he prepares
// anything for that; the lock itself is taken by Open. It must not be called where a store is open.
func InUse(dir string) error {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil { // there is none, or Open says what is wrong with it
		return nil
	}
	defer f.Close()
	holder := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &holder); err != nil || holder.Type == unix.F_UNLCK {
		return nil
	}
	return heldBy(path, holder.Pid)
}

// lockName is in the directory of the store.
const lockName = "lock"
