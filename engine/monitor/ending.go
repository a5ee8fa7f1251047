package monitor

import (
	"time"

	"golang.org/x/sys/unix"
)

// killAfter is how long containers have after SIGTERM when there is no daemon that knows their own stop signal and time.
const killAfter = 10 * time.Second

// ending is a request to end the mount. One is under way at a time.
type ending struct {
	mode   Ending
	reply  reply
	bound  *time.Timer
	deaths int // daemons that died of it, or before they could hear of it
	forced bool
}

// end takes a request to end the mount.
func (s *server) end(e *ending) {
	if s.ending != nil {
		s.queue = append(s.queue, e)
		if e.mode == Kill {
			s.ending.mode = Kill
			s.force(s.ending)
		}
		return
	}
	s.ending = e
	s.forgo()
	if !s.mount.wanted { // left earlier
		s.endWithoutDaemon(e)
		return
	}
	if e.mode == Kill {
		s.force(e)
		return
	}
	e.bound = s.after(s.o.EndWithin, func() { s.late(e) })
	s.askDaemon()
}

// late is an ending that has taken too long.
func (s *server) late(e *ending) {
	if e.mode == Ask && (s.daemon == nil || !s.daemon.done) {
		s.resolve(e, &Error{Op: "umount", Kind: Failed, Sentence: "hull's daemon does not answer; --stop ends the mount without it after a while"})
		return
	}
	s.log.Error("the mount did not end in time; what is left is killed", "within", s.o.EndWithin)
	s.force(e)
}

// signalled is SIGTERM or SIGINT: the first as Stop, those after it as Kill.
func (s *server) signalled() {
	if s.signals++; s.signals == 1 {
		s.cancelled()
		return
	}
	s.end(&ending{mode: Kill, reply: s.logEnding})
}

// cancelled ends the mount as Stop, unless it is ending: the context may have been cancelled by the very signal that
// signalled tells of.
func (s *server) cancelled() {
	if s.ending == nil || s.ending.mode == Ask {
		s.end(&ending{mode: Stop, reply: s.logEnding})
	}
}

func (s *server) logEnding(err *Error) {
	if err != nil {
		s.log.Error("the mount did not end", "err", err)
	}
}

// askDaemon gives an ending to the daemon, if one is ready and has not got it. Otherwise its getting ready does.
func (s *server) askDaemon() {
	d, e := s.daemon, s.ending
	if d == nil || !d.ready || e == nil || d.asked == e || e.forced {
		return
	}
	d.asked = e
	d.peer.send(func() *message { return &message{Op: opStop, Mode: e.mode} })
}

// stopped is the daemon's answer.
func (s *server) stopped(d *daemon, err *Error) {
	e := s.ending
	if e == nil || d.asked != e {
		return
	}
	if err == nil {
		d.done = true
		s.mount.wanted = false
		return
	}
	s.resolve(e, err)
}

// resolve answers an ending that was refused, and takes up the next.
func (s *server) resolve(e *ending, err *Error) {
	s.cancel(e.bound)
	s.ending = nil
	e.reply(err)
	if len(s.queue) > 0 {
		next := s.queue[0]
		s.queue = s.queue[1:]
		s.end(next)
	}
}

// finish follows the death of a daemon that had unmounted the tree, or could not be waited for.
func (s *server) finish(e *ending) {
	if e.mode != Leave { // the daemon has stopped them; what it missed is not left running without anybody knowing
		s.signalAll(unix.SIGKILL)
	}
	s.ended(e)
}

// endWithoutDaemon ends a mount that has no daemon: it was left, or given up.
func (s *server) endWithoutDaemon(e *ending) {
	ids := s.running()
	switch {
	case e.mode == Ask && len(ids) > 0:
		s.resolve(e, &Error{Op: "umount", Kind: Busy, Names: ids, Sentence: "containers are running"})
		return
	case e.mode == Stop:
		s.signalAll(unix.SIGTERM)
		s.after(killAfter, func() { s.signalAll(unix.SIGKILL) })
	case e.mode != Leave:
		s.signalAll(unix.SIGKILL)
	}
	s.ended(e)
}

// ended: no daemon lives and none is wanted. If the containers are to stay, that is the end of the mount; if not, it is
// when the last of them has ended.
func (s *server) ended(e *ending) {
	if e.mode == Leave && s.unrecorded() {
		answerAll(&s.mount.watchers, nil)
		s.resolve(e, nil)
		return
	}
	s.settle()
}

// settle ends the monitor when there is nothing left for it to do, and answers who waits for that. The run directory is
// given up before, so that they find it free.
func (s *server) settle() {
	if s.over || s.mount.wanted || s.daemon != nil || s.unrecorded() {
		return
	}
	s.over = true
	s.releaseRun()
	for _, c := range s.containers {
		c.answer()
	}
	if s.ending != nil {
		s.ending.reply(nil)
	}
	for _, e := range s.queue {
		e.reply(nil)
	}
	var err *Error
	if s.ending == nil && s.mount.failure != nil {
		err = s.mount.failure
		s.mounting = err
	}
	answerAll(&s.mount.waiters, gone())
	answerAll(&s.mount.watchers, err)
	for p := range s.control.peers { // for who was too late to ask
		p.send(func() *message { return &message{Op: opEnded, Failure: err} })
	}
}

func gone() *Error {
	return &Error{Op: "mount", Kind: Failed, Sentence: "the mount was ended"}
}

// unrecorded says whether a container has yet to end, or to have its exit on disk.
func (s *server) unrecorded() bool {
	for _, c := range s.containers {
		if !c.recorded {
			return true
		}
	}
	return false
}

// force ends without asking anybody. The daemon's death then leads to finish.
func (s *server) force(e *ending) {
	e.forced = true
	s.mount.wanted = false
	s.cancel(s.mount.restart)
	if e.mode != Leave {
		s.signalAll(unix.SIGKILL)
	}
	if s.daemon == nil {
		s.abandon()
		s.finish(e)
		return
	}
	_ = signalTo(s.daemon.pidfd, unix.SIGKILL)
}

func (s *server) abandon() {
	if s.o.Abandon != nil {
		s.o.Abandon()
	}
}

func (s *server) signalAll(sig unix.Signal) {
	for _, c := range s.containers {
		if c.exit == nil {
			_ = signalTo(c.pidfd, sig)
		}
	}
}
