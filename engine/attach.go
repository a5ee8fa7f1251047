package engine

import (
	"context"
	"errors"
	"os"

	"hull/engine/logs"
	"hull/engine/monitor"
)

// AttachOptions describe what a caller wants of a container's stdio.
type AttachOptions struct {
	// Stdin asks for where its input goes too, which there is if the container's setting stdin is true. Of Run the caller
	// is the only one that has it: when it is closed, the command sees the end of its input. Of Attach several have it, and
	// that they go ends nothing.
	Stdin bool
	// Watch is for who only follows the log: that is no session.
	Watch bool
	// Terminal is a terminal of the host that leads to the session, if there is one; it is only shown.
	Terminal string
	// Status is the far end of a monitor.NewStatus: on it come growth of the log and the container's exit. It stays the
	// caller's, who closes it.
	Status *os.File
	// Rows and Cols are the first size of the terminal; they count for Run only: after that monitor.Resize sets it.
	Rows, Cols uint16
}

// Attachment is what a helper needs to be a container's terminal: the log to follow, and where input goes. It is the
// caller's to close.
type Attachment struct {
	// Segments are those of the log: the last, or for who asked for Watch all. The monitor gives those that follow.
	Segments []logs.Segment
	From     int64    // how long they were: what is older is not this run's, or was there before the attachment
	Stdin    *os.File // a pipe's write end, where input goes: to the terminal if there is one; nil if none is wanted
	TTY      bool     // the container has a terminal
}

// Close closes every descriptor of the attachment.
func (a *Attachment) Close() {
	closeAll(a.Stdin)
	for _, x := range a.Segments {
		_ = x.Close()
	}
}

// boarding is a wish to be attached to a container from its beginning, and its fulfilment. A nil one is no wish.
type boarding struct {
	options    AttachOptions
	attachment *Attachment
	id         chan string // gets the container's ID as soon as there is one
}

func (b *boarding) size() (rows, cols uint16) {
	if b == nil {
		return 0, 0
	}
	return b.options.Rows, b.options.Cols
}

func (b *boarding) take() *Attachment {
	if b == nil {
		return nil
	}
	return b.attachment
}

func (b *boarding) close() {
	if b != nil && b.attachment != nil {
		b.attachment.Close()
	}
}

// Attach gives what it takes to follow and to feed a running container.
func (e *Engine) Attach(ctx context.Context, id string, o AttachOptions) (*Attachment, error) {
	b := &boarding{options: o}
	err := e.ask(ctx, "attach", id, func(s *supervisor, answer func(error)) {
		if !s.st.State.Alive() {
			answer(s.notRunning("attach"))
			return
		}
		var err error
		b.attachment, err = s.attach(s.run, s.st.Run.Process, o, false)
		answer(err)
	})
	if KindOf(err) == Interrupted && err != nil {
		return nil, err // the supervisor may still be at it: the finalizers of what nobody takes close it
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b.attachment, nil
}

// attach makes an attachment to a run. first is whether nobody can have been there before, and who gets the input is the
// only one ever.
func (s *supervisor) attach(r *run, p *process, o AttachOptions, first bool) (_ *Attachment, err error) {
	a := &Attachment{TTY: r.pty != nil}
	var keys *os.File
	defer func() {
		closeAll(keys)
		if err != nil {
			a.Close()
			err = fail("attach", s.id, kindOfErrno(err), "nobody can be attached to the container: %w", err)
		}
	}()
	if err := a.openLog(s.dir, o.Watch); err != nil {
		return nil, err
	}
	if o.Stdin && p != nil && p.Stdin {
		if keys, err = s.attachInput(a, r, first); err != nil {
			return nil, err
		}
	}
	if o.Status != nil {
		err = s.attachStatus(o, keys, a, first)
	}
	return a, err
}

// openLog takes the log's segments.
func (a *Attachment) openLog(dir string, all bool) error {
	l, err := logs.Open(dir)
	if err != nil {
		return err
	}
	if a.From, err = l.Both().Size(); err != nil {
		return errors.Join(err, l.Close())
	}
	if all {
		a.Segments, _, err = l.Take(0)
	} else {
		a.Segments, a.From, err = l.Take(a.From)
	}
	if err == nil && len(a.Segments) == 0 {
		err = errors.New("it has no log")
	}
	return err
}

// catchUp takes the segments that have come since.
func (a *Attachment) catchUp(dir string) error {
	l, err := logs.Open(dir)
	if err != nil {
		return err
	}
	all, _, err := l.Take(0)
	for _, x := range all {
		if x.Number > a.Segments[len(a.Segments)-1].Number {
			a.Segments = append(a.Segments, x)
		} else {
			_ = x.Close()
		}
	}
	return err
}

// attachInput makes where input goes; keys is what the monitor is to type on the container's terminal.
func (s *supervisor) attachInput(a *Attachment, r *run, first bool) (keys *os.File, err error) {
	switch {
	case r.pty != nil:
		keys, a.Stdin, err = blockingPipe()
	case r.stdin == nil: // it belongs to who runs it, or has ended
	case first:
		err = s.e.o.Monitor.CloseStdin(s.e.ctx, s.id)
		if err == nil {
			a.Stdin, r.stdin = r.stdin, nil
		}
	default:
		a.Stdin, err = dup(r.stdin)
	}
	return keys, err
}

// attachStatus gives the monitor the socket for the exit, and lists the session. A run that is over by now, which the
// supervisor has not been told of yet, is answered from its record.
func (s *supervisor) attachStatus(o AttachOptions, keys *os.File, a *Attachment, first bool) error {
	last := a.Segments[len(a.Segments)-1].Number
	call := monitor.Attach{ID: s.id, Status: o.Status, Keys: keys, Segment: last, Paced: first}
	var x Session
	if !o.Watch {
		x = s.reserveSession(Session{Attached: true, Command: []string{"attach"}, TTY: a.TTY, Terminal: o.Terminal})
		call.Key, call.Started, call.Label = x.ID, x.Started, x.label(s.why)
	}
	err := s.e.o.Monitor.Attach(s.e.ctx, call)
	s.e.crash(attachTaken)
	if !o.Watch {
		if err == nil {
			s.sessionBegan(x)
		} else {
			s.dropSession(s.known(x.ID))
		}
	}
	var m *monitor.Error
	if errors.As(err, &m) && m.Kind == monitor.NotFound {
		x, err := monitor.ReadExit(s.dir)
		if err != nil {
			return err
		}
		if err := a.catchUp(s.dir); err != nil {
			return err
		}
		return monitor.WriteStatus(o.Status, x)
	}
	return err
}
