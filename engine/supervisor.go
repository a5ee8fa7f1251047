package engine

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"time"

	"hull/engine/monitor"
)

// supervisor is the one writer of one container. Its fields below the line belong to its goroutine alone.
type supervisor struct {
	e        *Engine
	id       string
	dir      string
	created  time.Time
	snapshot atomic.Pointer[Container]
	queue    *mailbox[func()]       // what it is asked to do
	deaths   *mailbox[monitor.Exit] // what the monitor tells it
	done     chan struct{}          // closed when the goroutine has ended
	view     rootView
	commands commandCache
	starting atomic.Bool // its goroutine is making a process, which may take long

	// ---
	rec        *record
	set        values // rec.Settings, parsed
	st         state
	run        *run     // the first process, nil unless the state is live
	waiting    *waiting // the start that waits for an image, nil unless the state is Waiting
	stopping   *stopping
	restarting *restarting // the back-off before a start by the policy, nil unless the state is Restarting
	waiters    []func(Exit, error)
	sessions   []*session
	pauses     []pausing // who wants it frozen, and waits until no session is entering
	lease      *lease
	// examination is how the run's health is kept an eye on; nil if it is not.
	examination *examination
	killing     *time.Timer   // until when a process that was sent SIGKILL is expected to have ended; nil if none was
	stuck       bool          // it did not
	kills       []func(error) // who has asked for that signal
	unmount     chan struct{} // closed when the last run's overlay is unmounted; nil if there was none
	// undecided is set while it is not known whether the process of a start that the last daemon did not live to note
	// runs its command.
	undecided bool
	gone      bool           // the container is removed: the goroutine ends
	why       origin         // of what it does now
	sent      map[int]origin // by signal, who has sent that to the run
}

// run is a container's first process and what belongs to it. The files are its own.
type run struct {
	pidfd *os.File
	pty   *os.File // master, nil without a terminal
	stdin *os.File // write end, nil without one or when it has been handed over
	group group
	oom   *os.File // by which running out of memory is heard of, nil without a limit
	lease *lease
	// root keeps the overlay from being unmounted by the end of the process itself, which would write out a whole file
	// system before anybody could know of the end. nil after a restart of the daemon.
	root *os.File
	// netns keeps the network namespace, where it is the run's own, until it is cleared away. nil after a restart of the
	// daemon, too.
	netns *os.File
}

// groupName is the name of the cgroup of the run under way.
func (s *supervisor) groupName() string {
	if s.st.Run.Group != "" {
		return s.st.Run.Group
	}
	return s.id
}

// close gives back the descriptors.
func (r *run) close() { closeAll(r.pidfd, r.pty, r.stdin, r.root, r.netns, r.oom) }

// closeDescriptors gives back what a supervisor, whose goroutine has ended, still has.
func (s *supervisor) closeDescriptors() {
	if s.run != nil {
		s.run.close()
	}
	s.stopping.end()
	s.restarting.end()
	s.endKilling()
	s.examination.end()
	s.view.forget()
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}

func (e *Engine) newSupervisor(rec *record) (*supervisor, error) {
	set, err := parseSettings(rec.Settings)
	if err != nil {
		return nil, err
	}
	s := &supervisor{
		e: e, id: rec.ID, dir: e.containerDir(rec.ID), created: rec.Created, rec: rec, set: set,
		st:    state{State: Created},
		queue: newMailbox[func()](), deaths: newMailbox[monitor.Exit](), done: make(chan struct{}),
	}
	return s, nil
}

// supervise is the supervisor's goroutine.
func (s *supervisor) supervise() {
	defer close(s.done)
	defer s.deaths.close()
	defer s.queue.close()
	for !s.gone {
		select {
		case <-s.e.ctx.Done():
			return
		case <-s.deaths.ready:
			if x, ok := s.deaths.take(); ok {
				s.because(origin{cause: Ended}, func() { s.ended(x) })
			}
		case <-s.queue.ready:
			if f, ok := s.queue.take(); ok {
				f()
			}
		case <-s.stopping.over():
			s.because(s.stopping.why, s.graceOver)
		case <-s.killingOver():
			s.stillThere()
		case <-s.restarting.due():
			s.backOffOver()
		case <-s.examination.due():
			s.because(origin{cause: Examined}, s.lookDue)
		}
	}
}

// ask has a container's supervisor do something and waits for its answer, at most as long as ctx.
func (e *Engine) ask(ctx context.Context, op, id string, do func(s *supervisor, answer func(error))) error {
	s, err := e.lookup(op, id)
	if err != nil {
		return err
	}
	return s.ask(ctx, op, func(answer func(error)) { do(s, answer) })
}

// startPatience is how long who wants to rename or remove a container waits for the end of a start of it.
const startPatience = time.Second

var errStarting = errors.New("it is being started")

// askIdle is ask for what takes but a moment, and for which the kernel may keep a directory from being listed: that a
// container is being started, which may hang, is told soon. Nothing goes on then.
func (e *Engine) askIdle(ctx context.Context, op, id string, do func(s *supervisor, answer func(error))) error {
	s, err := e.lookup(op, id)
	if err != nil {
		return err
	}
	bound, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(startPatience, func() {
		if s.starting.Load() {
			cancel(errStarting)
		}
	})
	defer late.Stop()
	err = s.ask(bound, op, func(answer func(error)) {
		if !errors.Is(context.Cause(bound), errStarting) {
			do(s, answer)
		}
	})
	if err != nil && errors.Is(context.Cause(bound), errStarting) && KindOf(err) == Interrupted {
		return fail(op, s.id, Busy, "the container %s is being started, and that takes its time; try again when it is done", s.snapshot.Load().Name)
	}
	return err
}

func (s *supervisor) ask(ctx context.Context, op string, do func(answer func(error))) error {
	reply := make(chan error, 1)
	answer := func(err error) {
		select {
		case reply <- s.mark(op, err):
		default: // it was answered before
		}
	}
	if !s.later(s.e.origin(ctx), func() { do(answer) }) {
		return s.endedError(op)
	}
	select {
	case err := <-reply:
		return err
	case <-ctx.Done():
		return fail(op, s.id, Interrupted, "the wait for %s was interrupted; what was accepted goes on", op)
	case <-s.done:
	}
	select { // an answer may be the last thing the supervisor did
	case err := <-reply:
		return err
	default:
		return s.endedError(op)
	}
}

// mark gives an error the container and, where it has none, the operation. The sentence stays.
func (s *supervisor) mark(op string, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) && e.Op != "" {
		op = e.Op
	}
	return &Error{Op: op, Of: s.id, Kind: kindOfErrno(err), Err: err}
}

func (s *supervisor) endedError(op string) error {
	if s.e.ctx.Err() != nil {
		return fail(op, s.id, Interrupted, "hull's daemon is ending; try again when it is back")
	}
	return fail(op, s.id, Removed, "the container %s has been removed", Short(s.id))
}

// enter changes the state by the table; false, and no change, if that cannot happen now.
func (s *supervisor) enter(in input) bool {
	to, ok := next(s.st.State, in)
	if ok {
		s.st.State = to
	}
	return ok
}

// save writes the volatile state and publishes it. That it cannot be written must not stop a container: the next daemon
// then knows less of this run.
func (s *supervisor) save() {
	if err := s.st.write(s.dir); err != nil {
		s.e.o.Logger.Error("the state of a container cannot be written", "container", s.id, "op", "save", "err", err)
	}
	s.publish()
}

// failed notes a failure that nobody waits for.
func (s *supervisor) failed(op string, err error) {
	s.st.Error = err.Error()
	s.save()
	s.say(actError, "op", op, "error", err.Error())
}

// trouble notes what the monitor could not do for the container.
func (s *supervisor) trouble(sentence string) { s.failed("logs", errors.New(sentence)) }
