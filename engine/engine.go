package engine

import (
	"context"
	"hash/fnv"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"hull/engine/internal/sys"
	"hull/engine/network"
	"hull/engine/volume"
)

// Options are what an engine is made of.
type Options struct {
	Dir     string // the store; containers/ below it is the engine's
	Tree    string // what tells this mount's cgroups from another's; a file name
	Roots   Roots
	Monitor Monitor
	Warm    int // how many containers' processes are made beforehand
	// ResolvConf is the file that lists the host's servers for names; /etc/resolv.conf if it is empty.
	ResolvConf string
	// Life tells one monitor's life from another's; in a new one, containers come back whose restart setting says so. Empty
	// is always the same.
	Life string
	// Logger gets what an administrator must know; errors that are returned are not logged as well.
	Logger *slog.Logger
	// Notify is told of every event and must return at once. Those of one container come in their order.
	Notify func(Event)
	// Yield has whoever only looks into a container's files give back their views, if they have nothing open within a time.
	// nil: nobody does.
	Yield func(id string, within time.Duration)
	// Caller tells who asks for something with a context, for events. nil: nobody knows.
	Caller func(context.Context) (uid uint32, ok bool)
	// Crash is called at every point of CrashPoints; tests make it kill the process. nil does nothing.
	Crash func(point string)
}

// Engine keeps the containers of one store. Its methods may be called from many goroutines; those that take a context
// return when it ends with Kind Interrupted, and what was accepted goes on.
type Engine struct {
	o      Options
	dir    string // …/containers
	parts  parts
	ranges *ranges
	index  index
	pool   *pool
	turns  chan struct{} // as many as policies start at once
	// endWithin is how long a process may take to end of SIGKILL before it is said to be stuck.
	endWithin time.Duration
	// fillWithin is how long a start may let everybody wait for its volumes to be filled.
	fillWithin time.Duration
	// halting is set while the mount ends: no policy starts anything.
	halting atomic.Bool
	fresh   bool // this opening is the first of a mount's; false when it is done
	// volumes have their own package and their own lock.
	volumes *volume.Store
	// networks have theirs; links and names are what containers need of them.
	networks *network.Networks
	links    links
	names    names

	ctx    context.Context //nolint:containedctx // the engine's own life, in which accepted work goes on
	cancel context.CancelFunc

	mu      sync.Mutex
	closing bool
	work    sync.WaitGroup
	trash   *mailbox[string] // directories to delete
	syncs   *mailbox[string] // directories whose records are to be made durable
	remains *mailbox[remains]
	quiet   quiet
}

// Open reads every record, finds the containers that run, and finishes or undoes what was half done. ctx bounds the
// opening only; Close ends the engine.
func Open(ctx context.Context, o Options) (*Engine, error) {
	e := newEngine(ctx, o)
	p, err := realParts(e.ctx, o.Tree, o.Monitor, func(op string, err error) { //nolint:contextcheck // it is used as long as the engine lives
		e.o.Logger.Warn("a process could not be reaped", "op", op, "err", err)
	})
	if err != nil {
		e.cancel()
		return nil, err
	}
	return e.open(ctx, p)
}

func newEngine(ctx context.Context, o Options) *Engine {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Engine{o: o, dir: filepath.Join(o.Dir, "containers"), trash: newMailbox[string](), syncs: newMailbox[string](), remains: newMailbox[remains](), turns: make(chan struct{}, startsAtOnce), endWithin: endWithin, fillWithin: fillPatience, quiet: quiet{after: quietAfter, most: restless}}
	e.ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	seed := fnv.New32a()
	seed.Write([]byte(o.Tree))
	e.ranges = newRanges(seed.Sum32())
	e.index.init()
	return e
}

func (e *Engine) open(ctx context.Context, p parts) (*Engine, error) {
	e.parts = p
	if err := e.prepare(); err != nil {
		e.cancel()
		return nil, err
	}
	if err := e.openVolumes(); err != nil {
		e.cancel()
		return nil, asError("open", err)
	}
	if err := e.openNetworks(); err != nil { //nolint:contextcheck // they are used as long as the engine lives
		e.cancel()
		return nil, asError("open", err)
	}
	e.pool = e.newPool(e.o.Warm) // what is recovered may be started again at once
	if err := e.reconcile(ctx); err != nil {
		return nil, errorsJoin(err, e.Close()) //nolint:contextcheck // the end has a time of its own
	}
	e.pool.begin()
	e.spawn(e.hearMonitor)
	e.spawn(e.emptyTrash)
	e.spawn(e.clearRemains)
	e.spawn(e.syncRecords)
	return e, nil
}

func (e *Engine) prepare() error {
	if err := os.MkdirAll(e.dir, 0o700); err != nil {
		return fail("open", "", kindOfErrno(err), "the directory for containers cannot be made: %w", err)
	}
	if err := sys.Spread(e.dir); err != nil {
		e.o.Logger.Debug("the file system cannot be asked to keep containers apart", "op", "open", "err", err)
	}
	return nil
}

// spawn runs something that Close waits for; false when the engine is closing.
func (e *Engine) spawn(f func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		return false
	}
	e.work.Go(f)
	return true
}

// List answers every container, oldest first. It never waits.
func (e *Engine) List() []*Container {
	all := e.index.all()
	list := make([]*Container, 0, len(all))
	for _, s := range all {
		list = append(list, s.snapshot.Load())
	}
	return list
}

// Find answers the container with a name or an ID of 12 or 64 digits. It never waits.
func (e *Engine) Find(nameOrID string) (*Container, bool) {
	s := e.index.find(nameOrID)
	if s == nil {
		return nil, false
	}
	return s.snapshot.Load(), true
}

// NewName makes up a name that is free, in the style brave_otter. It may be taken by the time it is used; Create without
// a name makes one that is not.
func (e *Engine) NewName() string { return makeName(e.index.taken) }

// lookup finds the container an operation is for.
func (e *Engine) lookup(op, nameOrID string) (*supervisor, error) {
	if s := e.index.find(nameOrID); s != nil {
		return s, nil
	}
	if isHex(nameOrID, 64) {
		return nil, fail(op, nameOrID, Removed, "the container %s has been removed", Short(nameOrID))
	}
	return nil, fail(op, "", NotFound, "there is no container %q", clip(nameOrID))
}

// Start starts a container that does not run. It is accepted (nil) while the image is still being pulled: the container
// is then Waiting.
func (e *Engine) Start(ctx context.Context, id string) error {
	return e.ask(ctx, "start", id, func(s *supervisor, answer func(error)) { s.start(nil, answer) })
}

// Stop sends the stop signal and after the grace SIGKILL, and returns when the container has ended; nil at once if it
// does not run. Below zero seconds stands for the setting.
func (e *Engine) Stop(ctx context.Context, id string, seconds int) error {
	return e.ask(ctx, "stop", id, func(s *supervisor, answer func(error)) { s.stop(seconds, answer) })
}

// Restart stops the container if it runs, and starts it.
func (e *Engine) Restart(ctx context.Context, id string, seconds int) error {
	return e.ask(ctx, "restart", id, func(s *supervisor, answer func(error)) { //nolint:contextcheck // accepted work goes on
		s.restart(seconds, answer)
	})
}

// Kill sends a signal ("KILL", "SIGTERM", "15"; empty is KILL) to the first process. It returns when the signal is sent,
// and for KILL when the container has ended.
func (e *Engine) Kill(ctx context.Context, id, signal string) error {
	return e.ask(ctx, "kill", id, func(s *supervisor, answer func(error)) { s.kill(signal, answer) })
}

// Pause freezes a running container.
func (e *Engine) Pause(ctx context.Context, id string) error {
	return e.ask(ctx, "pause", id, func(s *supervisor, answer func(error)) { s.pause(false, answer) })
}

// Still is Pause for a while: if the daemon dies meanwhile, the next one thaws it.
func (e *Engine) Still(ctx context.Context, id string) error {
	return e.ask(ctx, "pause", id, func(s *supervisor, answer func(error)) { s.pause(true, answer) })
}

// Unpause thaws it.
func (e *Engine) Unpause(ctx context.Context, id string) error {
	return e.ask(ctx, "unpause", id, func(s *supervisor, answer func(error)) { answer(s.unpause()) })
}

// Rename gives a container another name, whether it runs or not.
func (e *Engine) Rename(ctx context.Context, id, name string) error {
	return e.askIdle(ctx, "rename", id, func(s *supervisor, answer func(error)) { answer(s.rename(name)) })
}

// Remove removes a container that does not run; force kills it first.
func (e *Engine) Remove(ctx context.Context, id string, force bool) error {
	ask := e.askIdle
	if force { // which waits for the end of a start
		ask = e.ask
	}
	return ask(ctx, "remove", id, func(s *supervisor, answer func(error)) { s.discard(force, answer) })
}

// Wait returns when the container does not run (any more), with how its last run ended; the zero Exit if it never ran.
func (e *Engine) Wait(ctx context.Context, id string) (Exit, error) {
	var exit Exit
	err := e.ask(ctx, "wait", id, func(s *supervisor, answer func(error)) {
		s.await(func(x Exit, err error) {
			exit = x
			answer(err)
		})
	})
	if err != nil {
		return Exit{}, err
	}
	return exit, nil
}

// LogFiles is where a container's output lies; package logs reads it.
type LogFiles struct{ Dir string }

// Logs answers where a container's output lies. It is there as long as the container is.
func (e *Engine) Logs(id string) (LogFiles, error) {
	s, err := e.lookup("logs", id)
	if err != nil {
		return LogFiles{}, err
	}
	return LogFiles{Dir: s.dir}, nil
}

// hearMonitor passes on what the monitor tells, until the engine ends or the monitor does.
func (e *Engine) hearMonitor() {
	for {
		select {
		case <-e.ctx.Done():
			return
		case x, ok := <-e.o.Monitor.Exits():
			if !ok {
				return
			}
			e.passExit(x)
		case t, ok := <-e.o.Monitor.Troubles():
			if !ok {
				return
			}
			if s := e.index.find(t.ID); s != nil {
				s.later(origin{cause: Logging}, func() { s.trouble(t.Sentence) })
			}
		}
	}
}
