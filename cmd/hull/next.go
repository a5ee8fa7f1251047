package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hull/engine/monitor"
)

// nextWithin is how long the monitor is waited for that follows one which was killed; soonWithin is as long, for whoever
// finds none and does not know whether there was one a moment ago; goneWithin is as long, if the tree is not mounted any
// more: then there may be none to come.
const (
	nextWithin = 30 * time.Second
	soonWithin = 5 * time.Second
	goneWithin = 2 * time.Second
)

// nextMonitor finds the monitor that follows one which was killed. nil and no error: the mount has ended.
func nextMonitor(ctx context.Context, o options, within time.Duration) (*monitor.Control, error) {
	begun := time.Now()
	for {
		control, err := monitor.Dial(ctx, o.Run)
		if err == nil {
			return control, nil
		}
		mounted := servedOn(o)
		switch waited := time.Since(begun); {
		case !mounted && waited > goneWithin:
			return nil, nil
		case waited > within:
			return nil, fmt.Errorf("hull's processes were killed; the containers go on, and hull mount %s finds them: %w", o.Dir, err)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// outliving asks a monitor for something, and whichever follows it if it is killed meanwhile. It is asked again what the
// first had begun, which that must allow. last is a connection to the one that has answered, nil if the mount has ended.
func outliving(ctx context.Context, o options, control *monitor.Control, ask func(*monitor.Control) error) (last *monitor.Control, err error) {
	for {
		err := ask(control)
		if !lost(err) || ctx.Err() != nil {
			return control, err
		}
		_ = control.Close()
		if control, err = nextMonitor(ctx, o, nextWithin); control == nil {
			return nil, err
		}
	}
}

// errEnded is that somebody has unmounted what was to be upgraded.
var errEnded = errors.New("the mount has ended meanwhile")
