package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/internal/sys"
)

// endWithin is how long a process may take to end of SIGKILL, as docker waits. One that waits in the kernel, for a disk
// or a server that is gone, does not end before that answers: its container is stuck.
const endWithin = 10 * time.Second

// expectEnd begins the wait for a process that was sent SIGKILL.
func (s *supervisor) expectEnd() {
	if s.killing == nil {
		s.killing = time.NewTimer(s.e.endWithin)
	}
}

// killingOver is the channel on which the end of that patience comes; nil, and so never, without it.
func (s *supervisor) killingOver() <-chan time.Time {
	if s.killing == nil {
		return nil
	}
	return s.killing.C
}

func (s *supervisor) endKilling() {
	if s.killing != nil {
		s.killing.Stop()
		s.killing = nil
	}
}

// stillThere answers those who wanted an end that does not come. A removal by force goes on without it. If the process
// ends after all, the run has ended as any other.
func (s *supervisor) stillThere() {
	s.killing, s.stuck = nil, true
	if p := s.stopping; s.st.Then == thenRemove && p != nil {
		s.because(known(p.removal), s.abandon)
		return
	}
	err := fail("stop", s.id, Busy, "%s; echo 'remove force' > ctl removes the container and leaves it behind", s.stuckSentence())
	s.st.Then = ""
	s.because(s.killedFor(), func() { s.failed("stop", err) })
	p, kills := s.stopping, s.kills
	s.kills = nil
	if p != nil {
		kills = append(append(kills, p.answers...), p.restart...)
		p.answers, p.restart = nil, nil
	}
	for _, answer := range kills {
		answer(err)
	}
}

// killedFor is why the process was sent SIGKILL.
func (s *supervisor) killedFor() origin {
	if s.stopping != nil {
		return known(s.stopping.why)
	}
	return known(s.sent[int(unix.SIGKILL)])
}

// known is why something is done, also if the daemon is dead that knew it.
func known(why origin) origin {
	if why.cause == "" {
		return origin{cause: Recovery}
	}
	return why
}

// stuckSentence says what keeps the container from ending. Arguments are nobody's business; a command's name is.
func (s *supervisor) stuckSentence() string {
	pids := []int{s.st.Run.PID}
	if s.run.group != nil {
		if all, err := s.run.group.Processes(); err == nil && len(all) > 0 {
			pids = all
		}
	}
	for _, pid := range pids {
		if stat, err := sys.ReadStat(pid); err == nil && stat.State == 'D' {
			where := ""
			if w, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/wchan"); err == nil && len(w) > 1 {
				where = ", in " + strings.ToValidUTF8(string(w), "?")
			}
			return fmt.Sprintf("the process %d (%s) in it has not ended %v after SIGKILL: it waits in the kernel%s, as for a disk or a server that does not answer", pid, stat.Name, s.e.endWithin, where)
		}
	}
	return fmt.Sprintf("the process %d has not ended %v after SIGKILL", s.st.Run.PID, s.e.endWithin)
}

// abandon removes a container whose process does not end. What that has, its range of user ids above all, is nobody
// else's until it ends after all.
func (s *supervisor) abandon() {
	sentence := s.stuckSentence()
	p, r := s.stopping, s.run
	answers := p.remove
	p.remove = nil
	err := s.remove()
	if err != nil {
		s.failed("remove", err)
	} else {
		p.end()
		s.endKilling()
		s.examination.end()
		answers = append(append(append(answers, p.answers...), s.kills...), p.restart...)
		s.run, s.kills, s.stopping, s.examination = nil, nil, nil, nil
		s.e.o.Logger.Warn("a container is removed and leaves a process behind: "+sentence, "container", s.id, "op", "remove")
		if err := s.e.o.Monitor.Abandon(s.e.ctx, s.id); err != nil && s.e.ctx.Err() == nil {
			s.e.o.Logger.Error("the monitor does not let a container go", "container", s.id, "op", "remove", "err", err)
		}
		var mounts []mount
		if note := s.st.Run.Process; note != nil {
			mounts = note.Mounts
		}
		s.e.leave(&leftover{s: s, run: r, mounts: mounts})
	}
	for _, answer := range answers {
		answer(err)
	}
}

// leftover is what a removed container has left running. A daemon that ends forgets it: the next one's sweep of cgroups
// finds what is left.
type leftover struct {
	s      *supervisor // whose goroutine is about to end
	run    *run
	mounts []mount
}

// leave waits for the end of a leftover, beside everything, and then gives back what it had.
func (e *Engine) leave(x *leftover) {
	if !e.spawn(func() {
		defer x.run.close()
		if !e.awaitEnd(x.run.pidfd) {
			return
		}
		if x.run.group != nil {
			x.s.removeGroup(x.run.group)
		}
		<-x.s.done
		x.s.leaveNetworks()
		x.s.giveVolumes(x.mounts)
		x.run.lease.drop()
	}) {
		x.run.close()
	}
}

// awaitEnd waits until a process has ended; false if the engine ends before.
func (e *Engine) awaitEnd(pidfd *os.File) bool {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return false
	}
	wake := os.NewFile(uintptr(fd), "wake")
	defer wake.Close()
	defer context.AfterFunc(e.ctx, func() { _, _ = wake.Write([]byte{7: 1}) })()
	for {
		fds := []unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}, {Fd: int32(fd), Events: unix.POLLIN}}
		_, err := unix.Poll(fds, -1)
		switch {
		case err != nil && !errors.Is(err, unix.EINTR):
			return false
		case err == nil && fds[0].Revents != 0:
			return true
		case err == nil && fds[1].Revents != 0:
			return false
		}
	}
}
