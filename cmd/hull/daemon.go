package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"hull/engine"
	"hull/engine/monitor"
	"hull/fs"
	"hull/fs/journal"
	"hull/fs/session"
	"hull/layers"
	"hull/layers/registries"
	"hull/layers/registry"
)

// runDaemon serves the tree. It may be killed at any instant: the monitor
// starts another, which finds everything again.
func runDaemon(args []string) int {
	o, _, ok := given(args, 1, 1, "the daemon is started by hull's monitor")
	if !ok {
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	// A log line must not end the daemon because the terminal it went to is gone.
	// (Ignoring the signal would have every container ignore it.)
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	unix.Umask(0) // modes in rootfs are the callers', who have masked them already
	client, err := monitor.Connect(os.NewFile(monitor.DaemonFD, "monitor"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "hull:", err)
		return 1
	}
	defer client.Close()
	d := &daemon{options: o, monitor: client, log: o.logger(os.Stderr).With("role", roleDaemon)}
	if d.life = d.Life; d.life == "" {
		d.life = monitor.Life()
	}
	d.monitors = d.watchMonitor()
	defer d.monitors.end()
	if err := d.run(ctx); err != nil {
		d.monitors.isLost(client)
		if said := client.Fail(context.WithoutCancel(ctx), err.Error()); said != nil {
			fmt.Fprintln(os.Stderr, "hull:", err)
		}
		return 1
	}
	return 0
}

// daemon is what one daemon is made of, in the order in which it is opened.
type daemon struct {
	options
	log      *slog.Logger
	monitor  *monitor.Client
	monitors *succession
	journal  *journal.Journal
	book     *registries.Book
	store    *layers.Store
	engine   *engine.Engine
	session  *session.Server
	host     *host
	tree     *fs.Tree
	told     atomic.Pointer[fs.Tree] // the tree, for events: those of the start come before it is there
	mount    *fs.Mount
	ballast  []byte // see calm
	life     string // see monitor.Life
}

func (d *daemon) run(ctx context.Context) (err error) {
	d.log.Debug("the daemon starts", "dir", d.Dir, "store", d.Store)
	closers := []func() error{}
	defer func() {
		for i := len(closers) - 1; i >= 0; i-- {
			if e := closers[i](); e != nil {
				d.log.Error("the daemon does not end well", "err", e)
			}
		}
	}()
	for _, open := range []func(context.Context) (func() error, error){
		d.openJournal, d.openRegistries, d.openStore, d.openEngine, d.sweep, d.openSessions, d.openTree,
	} {
		closeIt, err := open(ctx)
		if err != nil {
			return err
		}
		closers = append(closers, closeIt)
	}
	if err := d.monitor.Ready(ctx); err != nil {
		return err
	}
	return d.serve(ctx)
}

// serve waits for the end: the monitor's word, a signal, somebody's umount.
func (d *daemon) serve(ctx context.Context) error {
	gone := make(chan struct{})
	var beside sync.WaitGroup
	defer beside.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	beside.Go(func() {
		d.host.probe(ctx)
		debug.FreeOSMemory() // half of what was taken was for the start
	})
	d.begins()
	go func() { // ends with the mount, which run's closers see to
		d.mount.Wait()
		close(gone)
	}()
	for {
		select {
		case r := <-d.monitor.Stops():
			err := d.end(ctx, r.Mode)
			if done := r.Done(ctx, err); done != nil {
				d.log.Error("the monitor did not hear of the end", "err", done)
				d.monitors.isLost(d.monitor) // the next one goes on with it
			}
			if err == nil {
				d.record(journal.Event{Type: "daemon", Action: "umount", Object: d.Dir, Cause: string(engine.Asked)})
				d.monitors.end()
				return nil
			}
		case <-d.monitors.failed:
			return errors.Join(errAlone, d.mount.Unmount(true))
		case <-ctx.Done():
			return nil // the monitor starts another daemon
		case <-gone:
			return errors.New("the tree was unmounted by somebody else")
		}
	}
}

// end does what `hull umount` asks for.
func (d *daemon) end(ctx context.Context, mode monitor.Ending) error {
	switch mode {
	case monitor.Ask:
		if names := d.running(); len(names) > 0 {
			return &monitor.Error{Op: "umount", Kind: monitor.Busy, Sentence: "containers run", Names: names}
		}
		return d.mount.Unmount(false)
	case monitor.Stop:
		if err := d.engine.StopAll(ctx); err != nil {
			return err
		}
	case monitor.Kill:
		if err := d.engine.KillAll(ctx); err != nil {
			return err
		}
	case monitor.Leave:
	}
	return d.mount.Unmount(true)
}

// begins tells that the tree is there: mounted, or there again because the last daemon did not come to end it.
func (d *daemon) begins() {
	cause := engine.Asked
	if last, ok := d.journal.Last("daemon"); ok && last.Action == "mount" {
		cause = engine.Recovery
	}
	d.record(journal.Event{Type: "daemon", Action: "mount", Object: d.Dir, Cause: string(cause), Extra: map[string]string{"version": version}})
}

// yield has those who browse a container let go of its file system.
func (d *daemon) yield(id string, within time.Duration) {
	if tree := d.told.Load(); tree != nil {
		tree.Yield("containers/"+id, within)
	}
}

func (d *daemon) running() []string {
	var names []string
	for _, c := range d.engine.List() {
		if c.State.Alive() || c.State == engine.Restarting {
			names = append(names, c.Name)
		}
	}
	return names
}

func (d *daemon) openJournal(context.Context) (func() error, error) {
	dir := filepath.Join(d.Store, "events")
	var err error
	d.journal, err = journal.Open(dir, journal.Options{})
	if err != nil && !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EROFS) { // something else lies there: nobody must do without hull for old events
		aside := dir + ".bad"
		d.log.Error("the events cannot be read; they are put aside and begun anew", "aside", aside, "err", err)
		if err = errors.Join(os.RemoveAll(aside), os.Rename(dir, aside)); err == nil {
			d.journal, err = journal.Open(dir, journal.Options{})
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the events in %s cannot be opened: %w", d.Store, err)
	}
	return d.journal.Close, nil
}

func (d *daemon) openStore(ctx context.Context) (func() error, error) {
	var err error
	d.store, err = layers.Open(ctx, d.Store, layers.Options{
		Logger: d.log, Notify: d.imageEvent, Swept: d.layerGone, Crash: crashPoints(), UserAgent: "hull/" + version,
		Insecure: d.book.Insecure, Mirrors: d.book.Mirrors, Certificates: certificates,
		ViewIdle: viewIdle(), Stall: d.Stall,
		Logins: func(uid uint32) registry.Keychain { return keychain(uid) },
	})
	if err != nil {
		return nil, err
	}
	return d.store.Close, nil
}

func (d *daemon) openEngine(ctx context.Context) (func() error, error) {
	var err error
	d.engine, err = engine.Open(ctx, engine.Options{
		Dir: d.Store, Tree: treeName(d.Store), Life: d.life, Warm: d.Warm, Roots: roots{d.store}, Monitor: d.monitor,
		ResolvConf: d.ResolvConf,
		Logger:     d.log, Notify: d.containerEvent, Caller: caller, Yield: d.yield, Crash: crashPoints(),
	})
	if err != nil {
		return nil, err
	}
	return d.engine.Close, nil
}

// sweep tells the store what the containers keep; what nothing reaches goes.
func (d *daemon) sweep(ctx context.Context) (func() error, error) {
	held := map[string]bool{}
	for _, c := range d.engine.List() {
		held[c.ImageID] = true
	}
	return func() error { return nil }, d.store.Sweep(ctx, func(id string) bool { return held[id] })
}

func (d *daemon) openSessions(ctx context.Context) (func() error, error) {
	var err error
	d.session, err = session.NewServer(ctx, session.Options{
		Dir: d.Run, Handler: verbs{d}.handle, Sentence: error.Error, Logger: d.log,
		Helper: []string{d.Program, roleLine},
	})
	if err != nil {
		return nil, err
	}
	return d.session.Close, nil
}

func (d *daemon) openTree(ctx context.Context) (func() error, error) {
	err := session.CheckBinary(d.Program)
	if err != nil {
		return nil, err
	}
	group := int64(-1)
	if d.Group != nil {
		group = int64(*d.Group)
	}
	d.host = &host{d: d}
	d.tree, err = fs.New(ctx, fs.Options{
		Images: images{d.store, d.engine, new(atomic.Pointer[shownList])}, Containers: containers{ctx, d.engine, d.store, d.Store}, Registries: known{d}, Layers: stored{d.store}, Volumes: volumes{d.engine}, Networks: networks{d.engine}, Upkeep: upkeep{d}, Roots: views{d.store, d.engine},
		Host: d.host, Journal: d.journal, Sessions: d.session,
		ViewIdle: viewIdle(), Patience: treePatience(), Binary: d.Program, Source: d.Run, Access: filepath.Join(d.Store, "access"), Group: group, Budget: d.ResolveBudget, Quiet: debug.FreeOSMemory, Logger: d.log,
	})
	if err != nil {
		return nil, err
	}
	d.told.Store(d.tree)
	if d.mount, err = d.tree.Mount(d.Dir); err != nil {
		return nil, errors.Join(err, d.tree.Close())
	}
	roomy()
	d.calm()
	return func() error {
		// After an orderly end there is nothing mounted any more; else nobody must be left with a dead mount.
		return errors.Join(d.mount.Unmount(true), d.tree.Close())
	}, nil
}

// roomy gives the Go scheduler more processors than there are readers of the FUSE device. Those wait in a system call,
// each with a processor of its own. As long as there is one to spare, Go lets them keep it; with none it takes them away
// after 20 µs and wakes other threads to give them back: a third of the context switches and of the CPU time for the
// same requests remains (seen with grep -r in rootfs). go-fuse has taken the number of its readers from what was before.
func roomy() { runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 4) }

// calm makes the garbage collector less eager. It lets the heap double, and there is little in it, 1 MB: so it ran at
// every third exec and second start, and took a seventh of the daemon's time. What is counted as living here is never
// touched and takes no memory; the garbage does, that much at most.
func (d *daemon) calm() { d.ballast = make([]byte, 8<<20) }
