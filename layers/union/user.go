package union

import (
	"errors"
	"runtime"

	"golang.org/x/sys/unix"
)

// asUser calls fn on a thread whose file system ids are those of a range's first
// id, with all of root's capabilities kept: the kernel takes those about files
// away when the file system id stops being 0, so they are set again.
//
// The thread is one of its own. If it cannot be made root's again, it ends with
// its goroutine and serves nobody else.
func asUser(id uint32, fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := withIDs(id, fn)
		if lost, ok := errors.AsType[*lostThread](err); !ok {
			runtime.UnlockOSThread()
		} else if err = lost.result; err == nil && lost.before {
			err = lost.cause
		}
		done <- err
	}()
	return <-done
}

// lostThread says that the thread has not got its own ids back.
type lostThread struct {
	cause  error
	before bool  // fn was not called
	result error // of fn
}

func (l *lostThread) Error() string { return "the thread's ids could not be set: " + l.cause.Error() }

func withIDs(id uint32, fn func() error) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return err
	}
	if err := setIDs(id, id, &header, &caps); err != nil {
		return &lostThread{cause: err, before: true}
	}
	result := fn()
	if err := setIDs(uint32(unix.Geteuid()), uint32(unix.Getegid()), &header, &caps); err != nil {
		return &lostThread{cause: err, result: result}
	}
	return result
}

// setIDs sets the file system ids, then the capabilities. setfsuid cannot say that
// it failed; asking again with an id that no one has tells what is set.
func setIDs(uid, gid uint32, header *unix.CapUserHeader, caps *[2]unix.CapUserData) error {
	if err := unix.Setfsgid(int(gid)); err != nil {
		return err
	}
	if err := unix.Setfsuid(int(uid)); err != nil {
		return err
	}
	if err := unix.Capset(header, &caps[0]); err != nil {
		return err
	}
	g, err := unix.SetfsgidRetGid(-1)
	if err != nil {
		return err
	}
	u, err := unix.SetfsuidRetUid(-1)
	if err != nil {
		return err
	}
	if uint32(u) != uid || uint32(g) != gid {
		return unix.EPERM
	}
	return nil
}
