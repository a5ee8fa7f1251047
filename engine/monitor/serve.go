package monitor

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine/logs"
)

// FrontFD is the number under which a monitor that was started by Spawn inherits its end of the control connection.
const FrontFD = 3

// Options are what a monitor needs to know.
type Options struct {
	Run   string   // the run directory: the control socket is made there
	Front *os.File // the control connection of Spawn, descriptor FrontFD; nil if there is none
	// Daemon gives the command that is a daemon. Its ExtraFiles, if any, come after descriptor DaemonFD. Standard input,
	// output and error must be files or nil. Payload is nil, or what a later `hull mount` gave Control.Mount; it then holds
	// for the following restarts too.
	Daemon func(payload []byte) (*exec.Cmd, error)
	// Abandon is called when the mount ends without a daemon that unmounted it: it detaches what is left. May be nil.
	Abandon func()
	// Handover is what an earlier monitor held, see Client.Succeed and Control.Upgrade; nil if there was none. Whoever
	// starts this monitor was told the number of its descriptor by the last argument.
	Handover *os.File
	// Again gives the arguments with which a program is to be this monitor, for a payload that came with Control.Upgrade;
	// the number of the handover's descriptor is put behind them. nil if that cannot be.
	Again  func(payload []byte) ([]string, error)
	Logger *slog.Logger
	// EndWithin bounds an ending: after it, what is left is killed. 0 means two minutes.
	EndWithin time.Duration
	// AnswerWithin is how long attached sockets wait for their exit when no daemon lives to call Forget. 0 means ten seconds.
	AnswerWithin time.Duration
	// HangUpWithin is how long a session that is hung up may take to end before it is killed. 0 means ten seconds.
	HangUpWithin time.Duration
	// RestartWithin bounds how long a daemon that dies again and again is waited with. 0 means 1.5 s.
	RestartWithin time.Duration
	// Attempts is how often a daemon that never was Ready is started before it is given up. 0 means three.
	Attempts int
}

func (o Options) filled() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.EndWithin == 0 {
		o.EndWithin = 2 * time.Minute
	}
	if o.AnswerWithin == 0 {
		o.AnswerWithin = 10 * time.Second
	}
	if o.HangUpWithin == 0 {
		o.HangUpWithin = 10 * time.Second
	}
	if o.RestartWithin == 0 {
		o.RestartWithin = longDelay
	}
	if o.Attempts == 0 {
		o.Attempts = 3
	}
	return o
}

// server is the monitor. All of it belongs to the loop.
type server struct {
	o    Options
	log  *slog.Logger
	loop *loop

	containers map[string]*container
	sessions   map[*session]bool
	journals   map[string]*journal // by directory
	null       *os.File
	rest       *rest
	unsynced   map[string]string // exit records that are to be made durable: whose, by directory
	syncing    sync.WaitGroup
	trims      map[string]*logs.Bounds // logs that are being trimmed, by directory, and to what they are to be next
	trimming   sync.WaitGroup
	timers     map[*time.Timer]bool
	lent       lent // sockets of the daemon's, by name: see Client.Lend

	handover  *handover // what it goes on from; nil if it is the first
	interim   *os.File  // leads to who has all that is held until a daemon has it; nil if there is nobody
	upgrading *upgrade  // another program is to take this one's place; nil if none is
	control   *control
	daemon    *daemon // nil while none lives
	mount     mount
	ending    *ending
	queue     []*ending // asked for meanwhile
	signals   int       // SIGTERMs and SIGINTs
	over      bool
	mounting  error // what Serve returns
}

// Serve is the monitor. It returns when the mount has ended and no container is left to watch: nil if it ended as it was
// asked to, an *Error of Kind Failed with the sentence if no daemon could be kept running. Cancelling ctx does what
// SIGTERM does to it: ends the mount as Stop.
func Serve(ctx context.Context, o Options) error {
	s := &server{
		o: o.filled(), containers: map[string]*container{}, sessions: map[*session]bool{},
		journals: map[string]*journal{}, timers: map[*time.Timer]bool{}, trims: map[string]*logs.Bounds{}, lent: lent{},
	}
	s.log = s.o.Logger
	defer s.close()
	if err := s.open(); err != nil {
		s.endPredecessor()
		err := asError("serve", err)
		s.tellFront(err)
		return err
	}
	signals := make(chan os.Signal, 8)
	// The others are only to do no harm: SIGPIPE comes from a log whose reader is gone. They are caught and not ignored:
	// what is ignored stays so over an exec.
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGPIPE, unix.SIGXFSZ)
	stop := make(chan struct{})
	var heard sync.WaitGroup
	heard.Go(func() { s.listen(ctx, signals, stop) })
	defer heard.Wait()
	defer close(stop)
	defer signal.Stop(signals)

	if s.handover != nil {
		s.resume(s.handover)
	} else {
		s.begin(nil)
	}
	if err := s.loop.run(func() bool { return s.over }); err != nil {
		return &Error{Op: "serve", Kind: System, Sentence: "hull's monitor has failed", Err: err}
	}
	return s.mounting
}

// listen turns signals and a cancelled context into endings.
func (s *server) listen(ctx context.Context, signals <-chan os.Signal, stop <-chan struct{}) {
	done := ctx.Done()
	for {
		select {
		case got := <-signals:
			if got == syscall.SIGTERM || got == syscall.SIGINT {
				s.loop.post(s.signalled)
			}
		case <-done:
			done = nil
			s.loop.post(s.cancelled)
		case <-stop:
			return
		}
	}
}

func (s *server) open() (err error) {
	if s.o.Handover != nil {
		s.handover, err = readHandover(s.o.Handover)
		closed(s.o.Handover)
		if err != nil {
			return err
		}
	}
	if s.loop, err = newLoop(); err != nil {
		return err
	}
	if s.null, err = os.OpenFile(os.DevNull, os.O_WRONLY, 0); err != nil {
		return err
	}
	if s.rest, err = newRest(s.loop); err != nil {
		return err
	}
	return s.openControl()
}

// close lets go of everything. Containers that are still held lose their parent; the loop has seen to it that there are
// none, unless it failed.
func (s *server) close() {
	for t := range s.timers {
		t.Stop()
	}
	s.syncing.Wait()
	s.trimming.Wait()
	if s.loop == nil {
		return
	}
	for dir := range s.unsynced {
		if err := syncExit(dir); err != nil {
			s.log.Error("a container's exit may not survive a power failure", "dir", dir, "err", err)
		}
	}
	s.lent.close()
	for _, c := range s.containers {
		c.drop()
	}
	if s.daemon != nil {
		s.daemon.peer.close()
		closed(s.daemon.pidfd)
	}
	s.closeControl()
	s.rest.close()
	closed(s.interim)
	closed(s.null)
	s.loop.close()
}

// after has f called by the loop in a while.
func (s *server) after(d time.Duration, f func()) *time.Timer {
	var t *time.Timer
	ready := make(chan struct{})
	t = time.AfterFunc(d, func() {
		<-ready
		s.loop.post(func() {
			if s.timers[t] {
				delete(s.timers, t)
				f()
			}
		})
	})
	s.timers[t] = true
	close(ready)
	return t
}

// cancel calls a timer off, even one that has fired and is in the queue.
func (s *server) cancel(t *time.Timer) {
	if t != nil {
		t.Stop()
		delete(s.timers, t)
	}
}
