package engine

import (
	"context"
	"os"
	"path/filepath"
	"time"
)

func (e *Engine) containerDir(id string) string { return filepath.Join(e.dir, id) }

// remove takes a container that does not run away. With the rename it is gone, for every later daemon too; its files
// are deleted in the background.
func (s *supervisor) remove() error {
	in := inRemove
	if s.stuck {
		in = inAbandon
	}
	if _, ok := next(s.st.State, in); !ok {
		return fail("remove", s.id, Running, "the container %s is %s; stop it first", s.rec.Name, s.st.State)
	}
	trash := filepath.Join(s.e.dir, gonePrefix+s.id)
	if err := os.Rename(s.dir, trash); err != nil {
		return fail("remove", s.id, kindOfErrno(err), "the container's directory cannot be moved away: %w", err)
	}
	if !s.set.flag("auto_remove") {
		s.e.syncs.put(s.e.dir)
	}
	s.e.crash(removeRenamed)
	s.gone = true
	if s.rec.Image != nil {
		s.e.o.Roots.Release(s.rec.Image.ID, s.id)
	}
	s.e.crash(removeReleased)
	s.e.dropVolumes(s.why, s.rec)
	if s.run == nil { // else with what the run has
		s.e.links.Release(s.id)
	}
	s.e.index.drop(s, s.rec.Name)
	s.say(actDestroy)
	s.view.forget()
	s.e.trash.put(trash)
	return nil
}

// endTrash is how long the end of an engine may wait for deletions; the next Open goes on where they stopped.
const endTrash = 5 * time.Second

// emptyTrash deletes what removals left when all is quiet, and what is left when the engine ends.
func (e *Engine) emptyTrash() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(e.ctx))
	defer cancel()
	defer context.AfterFunc(e.ctx, func() { time.AfterFunc(endTrash, cancel) })()
	for ending := false; ; {
		for path, ok := e.trash.take(); ok; path, ok = e.trash.take() {
			if err := deleteTree(ctx, path); err != nil && ctx.Err() == nil {
				e.o.Logger.Error("the files of a removed container cannot be deleted", "op", "remove", "path", path, "err", err)
			}
			e.crash(removeDeleted)
		}
		if ending {
			return
		}
		select {
		case <-e.ctx.Done():
			ending = true
		case <-e.trash.ready:
			e.quiet.wait(e.ctx, nil)
		}
	}
}
