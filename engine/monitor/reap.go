package monitor

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
)

// childInfo is siginfo_t as waitid(2) fills it in on 64-bit machines.
type childInfo struct {
	signo, errno, code, _ int32
	pid, uid, status      int32
	_                     [100]byte
}

// ended is what a process left: si_code and si_status, if that is known.
type ended struct {
	code, status int
	unknown      bool
}

// cldExited is CLD_EXITED; any other code that ends a process is a signal's.
const cldExited = 1

// wait reaps the child behind a pidfd if it has ended. Errors: unix.ECHILD if it is not this process's child.
func wait(pidfd *os.File, options int) (e ended, ok bool, err error) {
	var info childInfo
	for {
		err = unix.Waitid(unix.P_PIDFD, rawFD(pidfd), (*unix.Siginfo)(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOHANG|unix.WALL|options, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return ended{}, false, err
	}
	return ended{code: int(info.code), status: int(info.status)}, info.pid != 0, nil
}

// isChild says whether this process is the one to wait for it: Adopt refuses others, whose exits could never be known.
func isChild(pidfd *os.File) bool {
	_, _, err := wait(pidfd, unix.WNOWAIT)
	return err == nil
}

// pidOf gives the number of the process behind a pidfd, 0 if it is not known.
func pidOf(pidfd *os.File) int { return sys.PidOf(rawFD(pidfd)) }

func signalTo(pidfd *os.File, s unix.Signal) error {
	return unix.PidfdSendSignal(rawFD(pidfd), s, nil, 0)
}

// onExit calls done, once, when the child has ended and is reaped.
func (s *server) onExit(pidfd *os.File, done func(ended)) (*source, error) {
	var src *source
	src, err := s.loop.watch(rawFD(pidfd), unix.EPOLLIN, func(uint32) {
		e, ok, err := wait(pidfd, 0)
		if err == nil && !ok {
			return
		}
		if err != nil { // somebody else has waited for it, which nobody should
			e = ended{code: cldExited, status: 255}
		}
		src.drop()
		done(e)
	})
	return src, err
}

// killStrangers ends the children nobody knows: those a daemon cloned and did not live to adopt. They are parked, their
// command has not begun. It must be called while no daemon lives, for a daemon may be about to adopt such a child. It
// looks until it finds none that it has not met, for a stranger may have been making a child itself.
func (s *server) killStrangers() {
	met := map[int]bool{}
	for {
		found := false
		for _, pid := range sys.Children() {
			if met[pid] || s.knows(pid) {
				continue
			}
			found = true
			met[pid] = true
			s.killStranger(pid)
		}
		if !found {
			return
		}
	}
}

func (s *server) killStranger(pid int) {
	fd, err := unix.PidfdOpen(pid, 0) // our child, not yet waited for: the number cannot be another's
	if err != nil {
		return
	}
	if err := s.finishOff(os.NewFile(uintptr(fd), "pidfd"), func() {}); err != nil {
		s.log.Error("a process of a dead daemon could not be ended", "pid", pid, "err", err)
	}
}

// finishOff kills a child, waits for it and closes the pidfd.
func (s *server) finishOff(pidfd *os.File, done func()) error {
	_ = signalTo(pidfd, unix.SIGKILL)
	_, err := s.onExit(pidfd, func(ended) {
		_ = pidfd.Close()
		done()
	})
	if err != nil {
		_ = pidfd.Close()
	}
	return err
}

// knows says whether a child is a container or session that is yet to be reaped.
func (s *server) knows(pid int) bool {
	for _, c := range s.containers {
		if c.pid == pid && c.exit == nil {
			return true
		}
	}
	for t := range s.sessions {
		if t.pid == pid {
			return true
		}
	}
	return false
}
