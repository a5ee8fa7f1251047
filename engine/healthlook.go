package engine

import (
	"context"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/monitor"
)

// examination is how a run's health is kept an eye on: a command executed in it from time to time, as a session that is
// not listed. It is the supervisor's own; a run that nobody examines has none, and nothing wakes for it.
type examination struct {
	check *Healthcheck
	timer *time.Timer // the next look, or the end of the patience with the one under way
	look  *look       // under way
	last  []Look      // the latest ones
}

// maxLooks is how many looks are remembered, and maxLooked how much of the output of each, as docker does.
const (
	maxLooks  = 5
	maxLooked = 4096
)

// Look is one look at a container's health.
type Look struct {
	Start  time.Time `json:"start"`
	End    time.Time `json:"end"`
	Exit   int       `json:"exit"` // -1 if it took too long
	Output string    `json:"output,omitempty"`
}

// look is one under way. All but the goroutine's reading is the supervisor's.
type look struct {
	Look
	session string // empty until its process is on the way
	cancel  context.CancelFunc
	output  *os.File
	ended   bool // its process has ended
	read    bool // its output has been read
}

// due is the channel on which a look, or the end of one, comes; nil, and so never, without an examination.
func (x *examination) due() <-chan time.Time {
	if x == nil {
		return nil
	}
	return x.timer.C
}

// end gives back what it has.
func (x *examination) end() {
	if x != nil {
		x.timer.Stop()
		x.look.end()
	}
}

// end lets the goroutine that reads go. What the command still does is of no interest.
func (l *look) end() {
	if l != nil {
		l.cancel()
		l.output.Close()
	}
}

// examine begins to keep an eye on the run under way, if its settings and image say so.
func (s *supervisor) examine() {
	s.examination.end()
	s.examination = nil
	set, err := parseSettings(s.st.Run.Settings)
	if err != nil {
		set = s.set
	}
	check := set.healthcheck(s.rec.Image)
	if check == nil {
		s.st.Health = nil
		return
	}
	if s.st.Health == nil {
		s.st.Health = &healthNote{Health: Starting}
	}
	for _, x := range s.sessions { // of the last daemon's
		if x.Look {
			s.endLook(x.ID)
		}
	}
	s.examination = &examination{check: check, timer: time.NewTimer(check.pause(s.st.Health.Health, s.st.Run.Started, time.Now()))}
}

// endLook ends what a look executes, with what that has started and waits for: a check that hangs time and again would
// fill the container.
func (s *supervisor) endLook(session string) {
	s.e.spawn(func() {
		err := s.e.o.Monitor.HangUp(s.e.ctx, s.id, session)
		if err == nil {
			err = s.e.o.Monitor.Signal(s.e.ctx, s.id, session, int(unix.SIGKILL))
		}
		if err != nil {
			s.e.o.Logger.Debug("a health check cannot be ended", "container", s.id, "op", "health", "err", err)
		}
	})
}

// lookDue begins a look, or ends the patience with the one under way.
func (s *supervisor) lookDue() {
	x := s.examination
	if l := x.look; l != nil {
		if l.session != "" {
			s.endLook(l.session)
		}
		l.end()
		l.Exit, l.Output = -1, "it took longer than "+x.check.Timeout.String()
		s.looked(l)
		return
	}
	if s.st.State != Up { // what is frozen or on its way out is not examined
		x.timer.Reset(x.check.Interval)
		return
	}
	r, w, err := os.Pipe()
	if err != nil {
		s.e.o.Logger.Warn("a health check cannot be made", "container", s.id, "op", "health", "err", err)
		x.timer.Reset(x.check.Interval)
		return
	}
	w.Fd() // makes it wait, as the command expects of its output
	ctx, cancel := context.WithCancel(s.e.ctx)
	l := &look{Look: Look{Start: time.Now().Round(0)}, cancel: cancel, output: r}
	x.look = l
	x.timer.Reset(x.check.Timeout)
	if !s.e.spawn(func() { s.execLook(ctx, l, x.check.command(), w) }) {
		l.end()
		closeAll(w)
	}
}

// execLook executes the command of a look and reads its output, beside the supervisor.
func (s *supervisor) execLook(ctx context.Context, l *look, command []string, w *os.File) {
	defer context.AfterFunc(ctx, func() { l.output.Close() })()
	x, err := s.e.execNow(ctx, s.id, ExecOptions{Command: command, Stdout: w, Stderr: w, look: l})
	closeAll(w)
	if err != nil {
		s.later(origin{cause: Examined}, func() { s.lookFailed(l, err) })
		return
	}
	closeAll(x.Pidfd)
	var out []byte
	buf := make([]byte, maxLooked)
	for {
		n, err := l.output.Read(buf)
		out = append(out, buf[:min(n, maxLooked-len(out))]...)
		if err != nil {
			break
		}
	}
	s.later(origin{cause: Examined}, func() { s.lookRead(l, out) })
}

// lookFailed takes that a look's command did not run. That the container is on its way out says nothing of its health.
func (s *supervisor) lookFailed(l *look, err error) {
	if s.examination == nil || s.examination.look != l {
		return
	}
	l.end()
	switch kind := kindOfErrno(err); kind {
	case Interrupted, Busy, NotRunning, Removed, Running:
		s.examination.look = nil
		s.examination.timer.Reset(s.examination.check.Interval)
	default:
		l.Exit, l.Output = kind.ExitCode(), err.Error()
		s.looked(l)
	}
}

// lookRead takes what a look printed.
func (s *supervisor) lookRead(l *look, out []byte) {
	if s.examination == nil || s.examination.look != l {
		return
	}
	l.read, l.Output = true, strings.ToValidUTF8(string(out), "\ufffd")
	if l.ended {
		l.end()
		s.looked(l)
	}
}

// lookEnded takes the end of a look's process.
func (s *supervisor) lookEnded(known *session, x monitor.Exit) {
	s.dropSession(known)
	if s.examination == nil || s.examination.look == nil || s.examination.look.session != x.Session {
		return
	}
	l := s.examination.look
	l.ended, l.Exit = true, x.Code
	if l.read {
		l.end()
		s.looked(l)
		return
	}
	// What it left behind may keep its output open: what there is now is all.
	if err := l.output.SetReadDeadline(time.Now().Add(lookRest)); err != nil {
		s.e.o.Logger.Debug("the output of a health check", "container", s.id, "op", "health", "err", err)
	}
}

// lookRest is how long the output of a look that has ended is still read.
const lookRest = 100 * time.Millisecond

// looked draws the conclusion of a look, and has the next one come.
func (s *supervisor) looked(l *look) {
	x := s.examination
	x.look = nil
	l.End = time.Now().Round(0)
	x.last = append(x.last, l.Look)
	x.last = x.last[max(0, len(x.last)-maxLooks):]
	before := *s.st.Health
	after := before.after(l.Exit == 0, x.check, s.st.Run.Started, l.End)
	s.st.Health = &after
	if after == before {
		s.publish()
	} else {
		s.save()
	}
	if after.Health != before.Health {
		if after.Health == Healthy {
			s.say(actHealthy)
		} else {
			s.say(actUnwell)
		}
	}
	x.timer.Reset(x.check.pause(after.Health, s.st.Run.Started, l.End))
}
