package engine

import "context"

// StopAll stops every container, as Stop does, all at once, and waits for the ends. It is the end of a mount: no policy
// starts anything from here on, and for unless-stopped nobody has stopped them.
func (e *Engine) StopAll(ctx context.Context) error {
	ctx = Unmounts(ctx)
	return e.endAll(func(s *supervisor) error {
		return e.ask(ctx, "stop", s.id, func(s *supervisor, answer func(error)) { s.halt(-1, answer) })
	})
}

// KillAll is StopAll without a grace.
func (e *Engine) KillAll(ctx context.Context) error {
	ctx = Unmounts(ctx)
	return e.endAll(func(s *supervisor) error {
		return e.ask(ctx, "kill", s.id, func(s *supervisor, answer func(error)) { s.halt(0, answer) })
	})
}

func (e *Engine) endAll(end func(*supervisor) error) error {
	e.halting.Store(true)
	all := e.index.all()
	failures := make(chan error, len(all))
	for _, s := range all {
		go func() { failures <- end(s) }()
	}
	var err error
	for range all {
		if f := <-failures; f != nil && KindOf(f) != Removed {
			err = errorsJoin(err, f)
		}
	}
	if err != nil { // the mount goes on
		e.halting.Store(false)
	}
	return err
}
