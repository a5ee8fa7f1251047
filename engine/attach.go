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
	// Stdin asks for the write end of its stdin too. Whoever gets it is the only one that has it: when it is closed, the
	// command sees the end of its input.
	Stdin bool
	// Status is the far end of a monitor.NewStatus: on it come growth of the log and the container's exit. It stays the
	// caller's, who closes it.
	Status *os.File
	// Rows and Cols are the first size of the terminal; they count for Run only.
	Rows, Cols uint16
}

// Attachment is what a helper needs to be a container's terminal: the log to follow, and where input goes. It is the
// caller's to close.
type Attachment struct {
	Log, Index *os.File // the log's two files, for logs.FromFiles
	From       int64    // how long the log was: what is older is not this run's, or was there before the attachment
	Pty        *os.File // the terminal's master, nil without one
	Stdin      *os.File // the write end of stdin, nil without one

	log *logs.Log
}

// Close closes every descriptor of the attachment.
func (a *Attachment) Close() {
	closeAll(a.Pty, a.Stdin)
	if a.log != nil {
		_ = a.log.Close()
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
		b.attachment, err = s.attach(s.run, o)
		if err == nil {
			s.say("attach")
		}
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

// attach makes an attachment to a run.
func (s *supervisor) attach(r *run, o AttachOptions) (_ *Attachment, err error) {
	a := &Attachment{}
	defer func() {
		if err != nil {
			a.Close()
			err = fail("attach", s.id, kindOfErrno(err), "nobody can be attached to the container: %w", err)
		}
	}()
	if a.log, err = logs.Open(s.dir); err != nil {
		return nil, err
	}
	a.Log, a.Index = a.log.Files()
	if a.Log == nil {
		return nil, errors.New("it has no log")
	}
	if a.From, err = a.log.Both().Size(); err != nil {
		return nil, err
	}
	if a.Pty, err = dup(r.pty); err != nil {
		return nil, err
	}
	if o.Status != nil {
		if err = s.attachStatus(o.Status); err != nil {
			return nil, err
		}
	}
	if o.Stdin && r.stdin != nil {
		if err = s.e.o.Monitor.CloseStdin(s.e.ctx, s.id); err != nil {
			return nil, err
		}
		a.Stdin, r.stdin = r.stdin, nil
	}
	return a, nil
}

// attachStatus gives the monitor the socket for the exit. A run that is over by now, which the supervisor has not
// been told of yet, is answered from its record.
func (s *supervisor) attachStatus(status *os.File) error {
	err := s.e.o.Monitor.Attach(s.e.ctx, s.id, status)
	var m *monitor.Error
	if errors.As(err, &m) && m.Kind == monitor.NotFound {
		x, err := monitor.ReadExit(s.dir)
		if err != nil {
			return err
		}
		return monitor.WriteStatus(status, x)
	}
	return err
}
