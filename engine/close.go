package engine

import (
	"context"
	"time"
)

// Close ends the engine's goroutines and returns when they have ended. Containers that run go on, for the next Open.
func (e *Engine) Close() error {
	e.mu.Lock()
	e.closing = true
	e.mu.Unlock()
	if e.pool != nil {
		e.pool.close()
	}
	e.cancel()
	e.work.Wait()
	live := map[string]bool{}
	for _, s := range e.index.all() {
		if s.run != nil {
			live[s.groupName()] = true
		}
		s.closeDescriptors()
	}
	e.closeGroups(live)
	e.closeNetworks(len(live) > 0)
	if err := e.parts.launcher.Close(); err != nil {
		return fail("close", "", System, "the launcher's descriptors cannot be closed: %w", err)
	}
	return nil
}

// closeGroups removes the cgroups that an end in the middle of a start left, and what all of them are in if nothing runs.
func (e *Engine) closeGroups(live map[string]bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), endGroups)
	defer cancel()
	err := e.parts.groups.Sweep(ctx, func(id string) bool { return live[id] })
	if err == nil && len(live) == 0 {
		err = e.parts.groups.Remove()
	}
	if err != nil {
		e.o.Logger.Warn("cgroups are left behind", "op", "close", "err", err)
	}
}

// endNetworks is how long the end of an engine may wait for networks to be taken down.
const endNetworks = 5 * time.Second

// endGroups is how long the end of an engine may wait for cgroups to be empty.
const endGroups = 5 * time.Second
