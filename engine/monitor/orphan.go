package monitor

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
)

// An orphan is a process that this monitor watches and that is not its child: it was that of a monitor that was killed,
// and init's, which waits for it, is it now. How it ended is told by its pidfd, if the kernel has that (Linux 6.15), or
// by /proc, if init has not been quicker; else nobody knows.

// cldKilled is CLD_KILLED.
const cldKilled = 2

// onEnd calls done, once, when the process has ended, whoever's child it is.
func (s *server) onEnd(pidfd *os.File, orphan bool, done func(ended)) (*source, error) {
	if !orphan {
		return s.onExit(pidfd, done)
	}
	var src *source
	src, err := s.loop.watch(rawFD(pidfd), unix.EPOLLIN, func(uint32) {
		src.drop()
		done(lastWords(pidfd))
	})
	return src, err
}

// lastWords is how an orphan that has ended did so.
func lastWords(pidfd *os.File) ended {
	if e, ok := exitInfo(pidfd); ok {
		return e
	}
	if e, ok := exitOfZombie(pidfd); ok {
		return e
	}
	if e, ok := exitInfo(pidfd); ok { // it was waited for in between
		return e
	}
	return ended{unknown: true}
}

// exitInfo asks the kernel, which tells it once the process has been waited for.
func exitInfo(pidfd *os.File) (ended, bool) {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	if unix.IoctlPidfdInfo(rawFD(pidfd), &info) != nil || info.Mask&unix.PIDFD_INFO_EXIT == 0 {
		return ended{}, false
	}
	return statusOf(int(info.Exit_code)), true
}

// exitOfZombie reads it where it stands until the process is waited for: it is the last number of its stat.
func exitOfZombie(pidfd *os.File) (ended, bool) {
	stat, err := sys.ReadStat(pidOf(pidfd))
	if err != nil || stat.State != 'Z' {
		return ended{}, false
	}
	// Had it been waited for meanwhile, the number could be another's.
	if signalTo(pidfd, 0) != nil {
		return ended{}, false
	}
	return statusOf(stat.Status), true
}

// statusOf reads a status as wait(2) gives it.
func statusOf(status int) ended {
	w := unix.WaitStatus(status)
	if w.Exited() {
		return ended{code: cldExited, status: w.ExitStatus()}
	}
	return ended{code: cldKilled, status: int(w.Signal())}
}

// endOf is the exit of a container whose process has ended. One that an earlier monitor has recorded counts, whatever
// can still be found out.
func (c *container) endOf(e ended) Exit {
	if c.orphan {
		if known, err := ReadExit(c.dir); err == nil && known.Started.Equal(c.started) {
			known.ID = c.id
			return known
		}
	}
	exit := exitOf(c.id, e, c.started)
	exit.OOM = oomKills(c.oom) > c.oomBefore
	return exit
}

// signalOrphan reaches a session's process group, whose leader may have been waited for: its number may be another's.
func (t *session) signalOrphan(n unix.Signal) {
	if unix.PidfdSendSignal(rawFD(t.pidfd), n, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP) != nil { // Linux 6.9
		_ = signalTo(t.pidfd, n)
	}
}

// exitOf puts what is known of a process's end into its record's form.
func exitOf(id string, e ended, started time.Time) Exit {
	x := Exit{ID: id, Started: started, At: time.Now()}
	switch {
	case e.unknown:
		x.Code, x.Unknown = 255, true
	case e.code == cldExited:
		x.Code = e.status & 0xff
	default:
		x.Signal = e.status & 0x7f
		x.Code = 128 + x.Signal
	}
	return x
}
