package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"

	"golang.org/x/sys/unix"

	"hull/engine/monitor"
	"hull/layers"
)

// mount starts a monitor in a session of its own, or asks one that was left
// with running containers to serve again, and waits: with background until the
// mount answers, else until it ends. A signal ends it as `hull umount --stop`.
func mount(ctx context.Context, o options, background bool) (err error) {
	if o.Program, err = os.Executable(); err != nil {
		return fmt.Errorf("hull cannot find its own program: %w", err)
	}
	if err := o.absolute(); err != nil {
		return err
	}
	if err := ownDirectory(o.Store, 0o700); err != nil {
		return err
	}
	if err := vacant(o); err != nil {
		return err
	}
	if err := mountDirectory(o.Dir); err != nil {
		return err
	}
	// Everybody may come by the sessions' socket: only a token opens anything there.
	if err := ownDirectory(o.Run, 0o755); err != nil {
		return err
	}
	control, err := monitorFor(ctx, o, background)
	if err != nil {
		return err
	}
	ended, err := serveMount(ctx, o, control, background)
	if ended != nil {
		_ = ended.Close()
	}
	return err
}

// vacant refuses a store that another mount has, before a run directory and a mount point are made for nothing. Where
// the run directory is there, the other mount may be this one.
func vacant(o options) error {
	if _, err := os.Lstat(o.Run); !errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return layers.InUse(o.Store)
}

// serveMount waits for the tree, and in the foreground for its end. It gives the connection it has at last.
func serveMount(ctx context.Context, o options, control *monitor.Control, background bool) (_ *monitor.Control, err error) {
	control, err = outliving(ctx, o, control, func(c *monitor.Control) error { return c.Ready(ctx) })
	switch {
	case ctx.Err() != nil:
		return ended(ctx, o, control)
	case control == nil && err == nil:
		return nil, errors.New("hull's monitor was killed before anything was mounted")
	case err != nil || background:
		return control, err
	}
	fmt.Fprintf(os.Stderr, "hull: mounted on %s; ctrl-C stops all containers and unmounts\n", o.Dir)
	service := beginService(ctx, o)
	defer func() { service.end(err) }()
	defer context.AfterFunc(ctx, service.stopping)()
	control, err = outliving(ctx, o, control, func(c *monitor.Control) error { return c.Ended(ctx) })
	if err != nil && ctx.Err() != nil { // not, if somebody had ended it by then: maybe containers are left, on purpose
		return ended(ctx, o, control)
	}
	return control, err
}

// ended makes a signal's end of waiting the mount's end; a second signal kills
// what a first one waits for.
func ended(ctx context.Context, o options, control *monitor.Control) (*monitor.Control, error) {
	// The signal has ended ctx; the orderly end takes as long as containers take.
	fmt.Fprintln(os.Stderr, "hull: stopping the containers; once more kills them")
	orderly := context.WithoutCancel(ctx)
	again, stop := signal.NotifyContext(orderly, unix.SIGINT, unix.SIGTERM)
	defer stop()
	context.AfterFunc(again, func() {
		if second, err := monitor.Dial(orderly, o.Run); err == nil {
			_ = second.Umount(orderly, monitor.Kill)
			_ = second.Close()
		}
	})
	if control == nil { // the signal came while the next monitor was waited for
		var err error
		if control, err = nextMonitor(orderly, o, nextWithin); control == nil {
			return nil, err
		}
	}
	return outliving(orderly, o, control, func(c *monitor.Control) error { return c.Umount(orderly, monitor.Stop) })
}

func monitorFor(ctx context.Context, o options, background bool) (*monitor.Control, error) {
	control, err := monitor.Dial(ctx, o.Run)
	if err == nil {
		err := control.Mount(ctx, o.encode())
		var e *monitor.Error
		if errors.As(err, &e) && e.Kind == monitor.Exists {
			if !background && findManager(os.Getenv, os.Getpid()) != nil && servedOn(o) {
				return control, nil // the service manager has started it anew; it goes on with what is there
			}
			return nil, fmt.Errorf("hull is already mounted with the run directory %s; another mount needs a --run and a --store of its own", o.Run)
		}
		return control, err
	}
	var e *monitor.Error
	if !errors.As(err, &e) || e.Kind != monitor.NotFound {
		return nil, err
	}
	cmd := self(roleMonitor, o)
	// A log file that outlives the caller's terminal.
	if background {
		log, err := logFile(o)
		if err != nil {
			return nil, err
		}
		defer log.Close()
		cmd.Stdout, cmd.Stderr = log, log
	} else {
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	}
	return monitor.Spawn(cmd)
}

// servedOn tells that it is this very mount that is there already.
func servedOn(o options) bool {
	parent, err := filepath.EvalSymlinks(filepath.Dir(o.Dir)) // not the tree itself: it may hang
	if err != nil {
		return false
	}
	run, err := runDirectory(filepath.Join(parent, filepath.Base(o.Dir)))
	return err == nil && run == o.Run
}

func logFile(o options) (*os.File, error) {
	f, err := os.OpenFile(o.Run+"/hull.log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("hull's log cannot be written: %w", err)
	}
	return f, nil
}

// self is this very program in another role; /proc/self/exe is right also
// after the file was replaced.
func self(role string, o options) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe") //nolint:noctx // it outlives every context here
	cmd.Args = []string{o.Program, role, string(o.encode())}
	cmd.Env = withoutManager(os.Environ())
	return cmd
}
